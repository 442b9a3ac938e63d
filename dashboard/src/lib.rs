//! Pages, live feed and control of the contest.

pub mod live;
pub mod organiser;
pub mod view;
