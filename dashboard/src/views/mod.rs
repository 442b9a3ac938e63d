//! What people see: one struct of plain, already decided data per page, and the sailfish template that shows it.
//!
//! Nothing here reads a database, asks Redis or looks at a clock: a handler fills a struct, `render_once` makes the page
//! of it. What the live feed tells too (standings, the round, what is due, announcements) is the feed's own type, so that
//! page and frame cannot differ. Raw numbers (points, µs, UTC ms) go in; how they read is decided in [`mod@format`] alone.
//! Templates escape everything; what may be drawn raw (QR codes, graphs) is made here, of numbers.

pub mod account;
pub mod advice;
pub mod audit;
pub mod chart;
pub mod climb;
pub mod curve;
pub mod error;
pub mod field;
pub mod format;
pub mod health;
pub mod index;
pub mod layout;
pub mod ledger;
pub mod login;
pub mod plan;
pub mod qr;
pub mod register;
pub mod report;
pub mod rules;
pub mod screen;
pub mod setting;
pub mod settings;
pub mod strip;
pub mod time;
pub mod tokens;

pub use account::AccountPage;
pub use audit::AuditPage;
pub use chart::{ChartPage, ChartView, ProjectorPage};
pub use error::ErrorPage;
pub use field::Field;
pub use index::IndexPage;
pub use layout::{ContestHead, Flash, Layout, Level, Page, Role, Viewer};
pub use login::{KeptPage, LoginLinkPage, LoginPage, LogoutPage};
pub use register::RegisterPage;
pub use report::ReportPage;
pub use rules::RulesPage;
pub use screen::ScreenPage;
pub use setting::SettingPage;
pub use settings::SettingsPage;
pub use tokens::{SlipsPage, TokensPage};
