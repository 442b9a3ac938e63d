//! Folders of a test's own, gone with it.

use tempfile::TempDir;

/// A new folder. Its path is short, since that of a Unix socket inside has room for 107 bytes.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("ft").tempdir().expect("a folder of the test's own")
}

/// The same in memory where the machine has such a place: for tests that sync after every write.
pub fn folder_in_memory() -> TempDir {
    let made = tempfile::Builder::new().prefix("ft").tempdir_in("/dev/shm");
    made.unwrap_or_else(|_| folder())
}
