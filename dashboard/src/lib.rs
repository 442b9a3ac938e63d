//! Pages, live feed and control of the contest.
//!
//! | module | noun |
//! |---|---|
//! | [`cli`], [`command`], [`config`] | how it is started, and what else the program does |
//! | [`server`] | everything started in order, and ended in order |
//! | [`app`] | what all requests share |
//! | [`routes`] | every way in, and for whom |
//! | [`gate`] | what every request passes before its handler |
//! | [`handle`] | one file a page: what is asked, in; what is shown, out |
//! | [`view`] | what pages show, as plain data with their templates |
//! | [`live`] | the live feed: one frame a second for everybody who watches |
//! | [`organiser`] | the control desk: the contest's document, its rounds, GO or NO-GO |
//! | [`failure`] | what a request may fail by, and what it is told |
//! | [`assets`], [`clock`], [`password`] | files inside the program, now, how good a password is |

pub mod app;
pub mod assets;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod failure;
pub mod gate;
pub mod handle;
pub mod live;
pub mod organiser;
pub mod password;
pub mod routes;
pub mod server;
pub mod view;
