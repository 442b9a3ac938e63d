//! One line of the standings, the same on every page and on the projector.

/// The rule that puts a contestant behind the one shown above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    Points,
    Failures,
    P99,
    Reached,
    Shared,
}

impl Decided {
    /// The name in the live feed.
    pub fn name(self) -> &'static str {
        match self {
            Decided::Points => "points",
            Decided::Failures => "failures",
            Decided::P99 => "p99",
            Decided::Reached => "reached",
            Decided::Shared => "shared",
        }
    }

    /// What is said about a tie; points need no word.
    pub fn word(self) -> &'static str {
        match self {
            Decided::Points => "",
            Decided::Failures => "fewer failures above",
            Decided::P99 => "lower p99 above",
            Decided::Reached => "reached it later",
            Decided::Shared => "shared rank",
        }
    }
}

/// A contestant as the live feed's `who` and `rows` tell it.
#[derive(Clone, Debug)]
pub struct StandingRow {
    /// `u3`
    pub key: String,
    pub name: String,
    pub shown: String,
    /// Number of its colour and dash, which stays the same through all ranks.
    pub colour: u8,
    pub rank: Option<u32>,
    /// Ranks gained over the last minute; below 0: lost.
    pub moved: i32,
    pub points: i64,
    /// Points in the last minute.
    pub minute: i64,
    /// Responses per second.
    pub rate: u64,
    /// Responses of the last ten seconds with all three right, in thousandths; `None` without responses.
    pub success_permille: Option<u16>,
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    pub failures: u64,
    pub decided: Option<Decided>,
}

/// Colours there are before a dash tells two apart.
pub const COLOURS: u8 = 8;

impl StandingRow {
    /// The CSS class of its colour, `c0` to `c7`.
    pub fn colour_class(&self) -> String {
        format!("c{}", self.colour % COLOURS)
    }

    /// The CSS class of its dash, `d0` to `d3`: tells apart who shares a colour.
    pub fn dash_class(&self) -> String {
        format!("d{}", self.colour / COLOURS % 4)
    }
}
