//! What comes of bytes, errors and the passing of time, for whoever owns the socket.

/// What the worker has to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to send what is ready.
    Go,
    /// End the connection.
    Close,
    /// End it, and count that bytes came which nobody had asked for.
    Unsolicited,
}
