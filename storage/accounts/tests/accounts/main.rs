//! The accounts as the dashboard uses them, on real SQLite files. One program, because linking costs more than running.

mod harness;

mod store;

mod log;

mod people;

mod invitations;

mod contest;

mod kill;
