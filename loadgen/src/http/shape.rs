//! The fast path: what this contestant's last response looked like.

/// Shared by all connections to one contestant in a worker.
#[derive(Debug, Default)]
pub struct Shape {
    /// Responses that looked like the one before.
    pub fast: u64,
    /// Responses that went through the careful path.
    pub slow: u64,
}

impl Shape {
    pub fn new() -> Shape {
        Shape::default()
    }
}
