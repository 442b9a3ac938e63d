//! Styles, scripts and pictures, inside the program: no request leaves the machine.

use rust_embed::RustEmbed;
use salvo::http::{HeaderValue, StatusCode, header};
use salvo::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

#[derive(RustEmbed)]
#[folder = "assets/"]
pub struct Assets;

impl std::fmt::Debug for Assets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assets")
    }
}

/// Part of every address under `/static`: it changes with any of the files, so that browsers may keep them for ever.
pub static BUILD: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort();
    let mut digest = Sha256::new();
    for name in names {
        digest.update(name.as_bytes());
        digest.update(Assets::get(&name).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// Lets browsers keep a file of this build; one of another build may be asked for and is not kept.
#[handler]
pub async fn keep_for_ever(req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
    let ours = req.param::<&str>("build") == Some(BUILD.as_str());
    ctrl.call_next(req, depot, res).await;
    if ours && res.status_code.is_none_or(|status| status == StatusCode::OK || status == StatusCode::NOT_MODIFIED) {
        let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
        res.headers_mut().insert(header::CACHE_CONTROL, kept);
    }
}
