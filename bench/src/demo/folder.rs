//! Where the demo keeps its files: under the build folder, removed at the end unless somebody wants it.

use crate::child::build_folder;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Folder {
    folder: Option<tempfile::TempDir>,
    kept: PathBuf,
}

impl Folder {
    pub(super) fn new(keep: bool) -> Result<Folder> {
        let parent = build_folder().parent().map_or_else(std::env::temp_dir, |build| build.join("demo"));
        std::fs::create_dir_all(&parent).map_err(Error::io(format!("making {}", parent.display())))?;
        let folder = tempfile::Builder::new()
            .prefix("contest-")
            .tempdir_in(&parent)
            .map_err(Error::io(format!("making a folder in {}", parent.display())))?;
        Ok(if keep {
            Folder { kept: folder.keep(), folder: None }
        } else {
            Folder { kept: folder.path().to_path_buf(), folder: Some(folder) }
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.kept
    }

    pub(super) fn say_if_kept(&self) {
        if self.folder.is_none() {
            println!("kept: {}", self.kept.display());
        }
    }
}
