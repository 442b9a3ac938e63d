//! Endpoints looked at beside the flood, over real sockets: honest ones, and every kind that is not.

mod peer;
mod preparing;
mod probing;
mod resolving;
mod sealed;
mod service;
