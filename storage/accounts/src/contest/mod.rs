//! What the organiser decided, where contestants are, and what was played.

pub(crate) mod adjustment;
pub(crate) mod announcement;
pub(crate) mod control;
pub(crate) mod endpoint;
pub(crate) mod history;
pub(crate) mod results;
pub(crate) mod round;
pub(crate) mod screen;
pub(crate) mod setting;
