//! The page at which a machine becomes a screen, and what an organiser is shown to get it there.

use crate::views::field::Input;
use crate::views::qr::Qr;
use crate::views::{Field, Layout};
use sailfish::TemplateSimple;

/// `GET /screen`, and a code that opens nothing.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "screen.stpl")]
pub struct ScreenPage {
    pub layout: Layout,
    pub code: Field,
}

/// A screen that was just made: shown once.
#[derive(Clone, Debug)]
pub struct ScreenMade {
    /// `7KQ4-X9M2`; good for half an hour.
    pub code: String,
    /// Where it is typed.
    pub address: String,
    /// The same with the code in it, to be photographed.
    pub qr: Option<Qr>,
    /// The whole link, with its secret, for a machine that is set up by a script.
    pub link: String,
}
