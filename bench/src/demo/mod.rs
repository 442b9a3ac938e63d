//! The whole product in a box, for people: Redis, contestants, a generator and the dashboard, where an organiser and
//! teams do on its own pages what they would do in a contest, and standings that rise in the browser and here.
//!
//! Alice is honest, Bob, who plays over https, and Carol are flawed on purpose, the house runs our reference server: if it
//! loses points, the platform did it. `Version` flips at a third of the time and `From` at two thirds. At the end each counter that
//! Redis holds is compared with what the contestant's faults must have made of it, with the generator's own sums, with
//! what the dashboard has sealed, and by an audit with the journal, in which every exchange is judged again.

mod account;
mod demo_box;
mod folder;
mod table;

use crate::contest_box::Board;
use crate::error::{Error, Result};
use demo_box::DemoBox;
use folder::Folder;
use std::path::Path;
use std::time::{Duration, Instant};
use table::Screen;

/// How often the table is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// How long the generator may take to drain, and the dashboard to seal, after the last phase.
const DRAIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long the contest runs.
    #[arg(long = "for", default_value = "30s", value_parser = length)]
    pub length: Duration,
    /// Requests per second of each contestant.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Most connections of each contestant.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Keep the dashboard up after the account, until Ctrl-C.
    #[arg(long)]
    pub stay: bool,
    /// Keep the folder with Redis's data, the journal and the dashboard's database, and say where it is.
    #[arg(long)]
    pub keep: bool,
}

fn length(text: &str) -> std::result::Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| format!("{error}; say 30s or 2m"))?;
    if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&length) {
        return Err("a demo runs from 1s to 24h".into());
    }
    Ok(length)
}

/// How a demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoEnd {
    /// Every number is the computed one.
    Exact,
    /// At least one differs.
    Differs,
    /// Somebody stopped it.
    Stopped,
}

pub fn run(options: &Options, stopped: &dyn Fn() -> bool) -> Result<DemoEnd> {
    let folder = Folder::new(options.keep)?;
    let verdict = play(options, folder.path(), stopped);
    folder.say_if_kept();
    verdict
}

fn play(options: &Options, folder: &Path, stopped: &dyn Fn() -> bool) -> Result<DemoEnd> {
    // Dropped whatever happens: the generator, the contestants, the dashboard, Redis.
    let mut demo = DemoBox::open(folder)?;
    println!("{}", demo.welcome());
    demo.arm(options)?;
    let mut board = Board::connect(&demo.redis_url(), demo_box::CONTEST)?;
    let mut screen = Screen::new();
    let until = Instant::now() + demo_box::LEAD + options.length + DRAIN;
    while !stopped() && !board.is_sealed().unwrap_or(false) {
        demo.all_alive()?;
        if Instant::now() >= until {
            return Err(Error::Other(format!("the round was not sealed in time: {}", demo.last_words())));
        }
        // A read that fails shows nothing new; whether Redis lives is asked above.
        if let Ok(standings) = board.standings(&demo.rules()) {
            screen.show(&demo.title(), &standings);
        }
        std::thread::sleep(DRAW_EVERY);
    }
    // Its last rows and the end of its stream, also when the round was cut short.
    let outcome = demo.end_generator()?;
    let standings = board.standings(&demo.rules())?;
    screen.finish("Final standings, from what Redis holds", &standings);
    if stopped() {
        return Ok(DemoEnd::Stopped);
    }
    let mut exact = true;
    for (name, injected) in demo.injected()? {
        exact &= account::of(&name, &injected, &standings, &demo.rules());
    }
    exact &= account::same_sums(&outcome, &standings)?;
    exact &= account::same_pages(&demo.sealed_pages(DRAIN)?, &standings);
    exact &= account::proved(&demo.journal, &demo.redis_url())?;
    if options.stay {
        println!("\nThe dashboard stays at {} until Ctrl-C.", demo.dashboard_url());
        while !stopped() {
            std::thread::sleep(DRAW_EVERY);
        }
    }
    demo.close()?;
    Ok(if exact { DemoEnd::Exact } else { DemoEnd::Differs })
}
