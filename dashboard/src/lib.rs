//! Pages, live feed and control of the contest.

pub mod view;

pub mod organiser;
