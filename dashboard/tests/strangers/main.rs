//! The program as strangers meet it: over sockets, byte by byte, in crowds. Each test has a dashboard of its own.

#[path = "../common/people.rs"]
mod people;

mod crowd;
mod memory;
mod reader;
mod stage;
mod wire;
