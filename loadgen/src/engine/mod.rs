//! From an immutable plan to judged and counted answers: what a worker is made of. In reading order:
//!
//! | module | noun |
//! |---|---|
//! | [`plan`] | the immutable, already valid plan of a run |
//! | [`clock`] | instants of the run clock and of the plan clock |
//! | [`schedule`] | what may change while a round is played: pauses, deadlines, shares |
//! | [`pacer`], [`spread`] | the open-loop schedule, computed, not stored; whose turn is when inside an interval |
//! | [`backlog`] | what is due and waits for a connection |
//! | [`http`] | requests out, responses in, as bytes |
//! | [`exchange`], [`timeouts`] | one request until its outcome, how long it may take, and when our own lateness voids it |
//! | [`connection`], [`step`] | one slot without I/O: bytes and the time in, steps out |
//! | [`tls`] | TLS of one connection without I/O: handshake, keys, records |
//! | [`contestant`] | one contestant in one worker |
//! | [`occupied`] | whether a worker's thread rests |
//! | [`cost`] | what contestants take of a worker's time |
//! | [`quantum`] | equal shares of it in closed loop |
//! | [`wheel`] | deadlines, looked at once per turn |
//! | [`index`] | numbers of contestants and slots, and tables by them |
//! | [`ring`] | io_uring and its slots; the only `unsafe` |
//! | [`share`], [`split`], [`sizes`] | which part of the plan a worker takes, and the memory for it |
//! | [`control`] | what is asked of workers while they run |
//! | [`worker`] | the loop that ties these together on one core |
//! | [`trace`], [`causes`] | what a worker notes of single exchanges, and why they failed |
//! | [`block`] | what a worker hands over ten times a second |
//! | [`run`] | workers from start to end |

pub mod backlog;
pub mod block;
pub mod causes;
pub mod clock;
pub mod connection;
pub mod contestant;
pub mod control;
pub mod cost;
pub mod exchange;
pub mod http;
pub mod index;
pub mod occupied;
pub mod pacer;
pub mod plan;
pub mod quantum;
pub mod ring;
pub mod run;
pub mod schedule;
pub mod share;
pub mod sizes;
pub mod split;
pub mod spread;
pub mod step;
pub mod timeouts;
pub mod tls;
pub mod trace;
pub mod wheel;
pub mod worker;

#[cfg(test)]
mod virtual_time;
