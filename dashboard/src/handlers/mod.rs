//! One file a page: what a request asks, in; what the page shows, out. They decide nothing about the contest, and nothing
//! but [`routes`](crate::routes) names them. What several need stands in
//!
//! | module | noun |
//! |---|---|
//! | [`asked`] | for whom the answer is, and by which address it was asked for |
//! | [`site`] | by which address people reach us |
//! | [`assets`] | styles, scripts and pictures |
//! | [`form`] | fields of a form that was posted |
//! | [`frame`] | what every page shares, and the way back after a form |
//! | [`convert`] | from what the live feed knows to what pages show |
//! | [`owner`] | one contestant's own figures |
//! | [`past`] | what an instant or a round was, from the database |
//! | [`standings`] | the standings as programs take them |
//! | [`download`] | files to take away |
//! | [`turn`] | the place of whoever has a password hashed |

pub mod account;
pub mod api;
pub mod asked;
pub mod assets;
pub mod audit;
pub mod chart;
pub mod convert;
pub mod download;
pub mod explain;
pub mod export;
pub mod form;
pub mod frame;
pub mod front;
pub mod health;
pub mod index;
pub mod invitation;
pub mod kept;
pub mod live;
pub mod login;
pub mod owner;
pub mod past;
pub mod register;
pub mod report;
pub mod rules;
pub mod screen;
pub mod setting;
pub mod site;
pub mod standings;
pub mod turn;
