//! What people and tools see of a run.
//!
//! | module | noun |
//! |---|---|
//! | [`series`] | the run second by second, for reading |
//! | [`summary`], [`live_table`], [`progress`] | what a terminal shows afterwards and while it runs |
//! | [`house`] | what the platform's own contestant lost |
//! | [`report`], [`metrics`] | one page with curves; an endpoint for Prometheus |
//! | [`validity`] | whether what was counted is what the plan asked for |
//! | [`failures`] | why requests were not right: causes with counts, and the first of each kind |
//! | [`wording`] | what is wrong with an answer, as its contestant reads it |
//! | [`output`] | all of these behind their flags |
//! | [`results`] | where a result is written |

pub mod failures;
pub mod house;
pub mod live_table;
pub mod metrics;
pub mod output;
pub mod progress;
pub mod report;
pub mod results;
pub mod series;
pub mod summary;
pub mod validity;
pub mod wording;
