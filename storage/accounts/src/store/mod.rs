//! The file under everything: connections, tables, types of columns, copies.

pub(crate) mod backup;
pub(crate) mod columns;
pub(crate) mod file;
pub(crate) mod schema;
