//! What people who mean harm call themselves.

/// Names that a page, a table or a file must show without doing what they say: markup, an attribute's end, text that
/// turns its surroundings around, a spreadsheet's formula.
pub const NAMES: [&str; 4] =
    ["<script>alert(1)</script>", "\" onmouseover=\"x", "\u{202e}gnp.exe' --", "=HYPERLINK(\"a\",\"b\")"];
