//! People at the dashboard, in a real browser: headless Chromium, steered by WebDriver, against the real program with a
//! real Redis, a real generator and real contestants.
//!
//! Without chromium and chromedriver every play says so on standard error and ends; `make test` installs them.

mod arena;
mod browser;
mod climb;
mod control;
mod described;
mod looks;
mod not_valid;
mod organiser;
mod outage;
mod plain;
mod same_frame;
mod screen;
mod settings;
mod stage;
mod team;
mod watchful;
