//! Pages, live feed and control of the contest.
//!
//! | module | noun |
//! |---|---|
//! | [`cli`], [`command`], [`config`] | how it is started, and what else the program does |
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
//! | [`connections`], [`under_way`] | who may hold how many connections, and have how many requests under way |
//! | [`site`] | by which address people reach us |
//! | [`address`], [`throttle`] | where a request really comes from, how often somebody may fail |
//! | [`screen_codes`] | short codes for the machines at the walls, and when they were seen |
//! | [`known_admins`] | who may stop traffic while the database answers nobody |
//! | [`assets`], [`clock`], [`password`] | files inside the program, now, how good a password is |

pub mod address;
pub mod app;
pub mod assets;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod connections;
pub mod control;
pub mod error;
pub mod handlers;
pub mod known_admins;
pub mod live;
pub mod middleware;
pub mod password;
pub mod routes;
pub mod screen_codes;
pub mod server;
pub mod site;
pub mod tasks;
pub mod throttle;
pub mod under_way;
pub mod views;
