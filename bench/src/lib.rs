//! Contest in a box, floor, and the comparison with other tools.
//!
//! | module | noun |
//! |---|---|
//! | [`error`] | what can go wrong, as sentences |
//! | [`child`] | a process of ours: started, listened to, measured, never left behind |
//! | [`contest_box`] | Redis, contestants and a generator as children: a contest on one machine |
//! | [`demo`] | the contest in a box for people: live standings, then the exact account |
//! | [`fixed`] | servers that send one fixed answer: what a runtime costs without a server in it |
//! | [`floor`] | the smallest honest client and server: the limit of this machine |
//! | [`close`] | what closing a connection costs, with few and with many others open |
//! | [`compare`] | interleaved pairs against other tools and servers |
//! | [`scoreboard`] | what the rows of so many contestants and generators cost Redis |
//! | [`viewers`] | what the dashboard's live feed costs for so many who watch |
//! | `traffic` | what contestants count, made up |
//! | [`machine`] | what a figure was measured on |

pub mod child;
pub mod close;
pub mod compare;
pub mod contest_box;
pub mod demo;
pub mod error;
pub mod fixed;
pub mod floor;
pub mod machine;
pub mod scoreboard;
mod traffic;
pub mod viewers;
