//! What people and tools see of a run.
//!
//! | module | noun |
//! |---|---|
//! | [`series`] | the run second by second, for reading, and whether it is what the plan asked for |
//! | [`summary`], [`live_table`], [`progress`] | what a terminal shows afterwards and while it runs |
//! | [`house`] | what the platform's own contestant lost |
//! | [`limit`] | what a climb to a server's limit found, as lines, JSON and a page |
//! | [`report`], [`metrics`] | one page with curves; an endpoint for Prometheus |
//! | [`failures`] | why requests were not right: causes with counts, and the first of each kind |
//! | [`wording`] | what is wrong with an answer, as its contestant reads it |
//! | [`title`] | what a run is called, and when it began |
//! | [`output`] | all of these behind their flags |
//! | [`results`] | where a result is written |

pub mod failures;
pub mod house;
pub mod limit;
pub mod live_table;
pub mod metrics;
pub mod output;
pub mod progress;
pub mod report;
pub mod results;
pub mod series;
pub mod summary;
pub mod title;
pub mod wording;
