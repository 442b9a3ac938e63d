//! Pages, live feed and control of the contest.
//!
//! | module | noun |
//! |---|---|
//! | [`cli`], [`config`] | how it is started, and what else the program does |
//! | [`server`] | everything started in order, and ended in order |
//! | [`app`] | what all requests share |
//! | [`tasks`] | what runs beside requests |
//! | [`routes`] | every way in, and for whom |
//! | [`middleware`] | what every request passes before its handler |
//! | [`handlers`] | one file a page: what is asked, in; what is shown, out |
//! | [`views`] | what pages show, as plain data with their templates |
//! | [`live`] | the live feed: one frame a second for everybody who watches |
//! | [`control`] | the control: the contest's document, its rounds, GO or NO-GO |
//! | [`error`] | what a request may fail by, and what it is told |
//! | [`limits`] | who may have how much: connections, requests at once, failed attempts |
//! | [`credentials`] | passwords, screens' codes, organisers who are known |

pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod credentials;
pub mod error;
pub mod handlers;
pub mod limits;
pub mod live;
pub mod middleware;
pub mod routes;
pub mod server;
pub mod tasks;
pub mod views;
