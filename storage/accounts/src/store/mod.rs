//! The file under everything: connections, tables, ids, types of columns, copies.

pub(crate) mod backup;
pub(crate) mod columns;
pub(crate) mod file;
pub(crate) mod ids;
pub(crate) mod schema;
