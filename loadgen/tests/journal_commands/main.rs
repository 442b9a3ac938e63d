//! `audit`, `rebuild`, `export` and `inspect` on small journals that a real writer made, and on a real redis-server.

mod auditing;
mod damage;
mod elsewhere;
mod lines;
mod played;
mod program;
mod rebuilding;
mod validity;
