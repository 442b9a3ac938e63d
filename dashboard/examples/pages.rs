//! Writes every page with its fixture to a folder, beside the assets, so that it can be looked at and photographed:
//! `cargo run -p flowtest-dashboard --example pages -- DIR`, then serve DIR over HTTP.

#[path = "../tests/pages/fixture.rs"]
mod fixture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name the folder to write to: pages DIR");
        return ExitCode::from(2);
    };
    match write(&folder) {
        Ok(count) => {
            println!("{count} pages in {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the pages cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let pages = fixture::pages()?;
    std::fs::create_dir_all(folder)?;
    for (name, page) in &pages {
        std::fs::write(folder.join(format!("{name}.html")), page)?;
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets"), &folder.join("static/fixture"))?;
    Ok(pages.len())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
