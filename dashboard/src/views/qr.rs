//! A QR code as the one path of an SVG: the template writes only numbers.

use qrcode::{Color, EcLevel, QrCode};
use sailfish::TemplateSimple;
use std::fmt::Write as _;

/// Modules of white around the code that readers need (ISO/IEC 18004).
const QUIET: usize = 4;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "_qr.stpl")]
pub struct Qr {
    /// Modules on a side, quiet zone included.
    side: usize,
    path: String,
    label: String,
}

impl Qr {
    /// The code of a text; `None` when it is too long for one. `label` is read to those who do not see it.
    pub fn of(text: &str, label: impl Into<String>) -> Option<Qr> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (row, line) in code.to_colors().chunks(width).enumerate() {
            let mut column = 0;
            while column < width {
                let dark = line[column..].iter().take_while(|module| **module == Color::Dark).count();
                if dark > 0 {
                    let _ = write!(path, "M{} {}h{dark}v1h-{dark}z", column + QUIET, row + QUIET);
                }
                column += dark.max(1);
            }
        }
        Some(Qr { side: width + 2 * QUIET, path, label: label.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_made_of_numbers_alone() {
        let code = Qr::of("http://<script>/register#t=\"x\"", "scan").expect("short enough");
        assert!(code.path.chars().all(|c| c.is_ascii_digit() || "Mhvz -".contains(c)), "{}", code.path);
        assert!(Qr::of(&"x".repeat(9_999), "scan").is_none());
    }
}
