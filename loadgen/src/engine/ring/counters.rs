//! Counters that explain a run.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counters that explain a run.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        pub struct Counters { $($(#[$doc])* pub $name: u64),+ }

        impl Counters {
            pub fn merge(&mut self, other: &Counters) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

counters! {
    /// Operations handed to the kernel.
    submissions,
    /// Completions taken from it.
    completions,
    /// System calls that did both.
    enters,
    /// Connections begun.
    connects,
    /// Receives armed again.
    rearms,
    /// Receives that found no buffer.
    enobufs,
    /// Completions of a connection that is gone.
    stale,
    /// Sends of which the kernel took only a part.
    short_sends,
    /// Receives paused because a contestant sent too much in one turn.
    pauses,
    /// Responses read by the careful parser.
    slow_parses,
    /// Turns of the worker's loop.
    turns,
    /// Turns that came more than 10 ms late.
    stalls,
    /// How long such turns were late beyond these 10 ms, in µs: so long whatever fell due came too late.
    late_us,
}
