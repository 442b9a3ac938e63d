//! Folders of a test's own, gone with it.

use tempfile::TempDir;

/// A new folder. Its path is short, since that of a Unix socket inside has room for 107 bytes.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("ft").tempdir().expect("a folder of the test's own")
}
