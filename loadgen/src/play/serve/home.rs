//! What a generator is and where it belongs: its name and process, its machine, and what its own files allow.

use crate::Failed;
use crate::admit::resolve::Names;
use crate::admit::trust::ContestTrust;
use crate::admit::{guard, source_addresses};
use crate::engine::plan::Plan;
use crate::engine::ring::Features;
use crate::engine::run::{probe_ring, usable_cores};
use crate::engine::trace::Tracing;
use crate::observe::metrics::Metrics;
use crate::observe::output::Outputs;
use crate::play::flags::Serve;
use crate::play::plan::Taker;
use crate::play::run;
use flowtest_contest::policy::PolicyError;
use flowtest_contest::text::bounded;
use flowtest_contest::{Control, Policy};
use flowtest_contract::StreamId;
use flowtest_contract::text::shown;
use flowtest_journal::record;
use flowtest_scoreboard::clock::ClockOffset;
use flowtest_scoreboard::keys::GENERATOR_LIFE_SECONDS;
use flowtest_scoreboard::{Lease, RedisAddress, Scoreboard, ScoreboardError};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a start waits for a name that is another's: a little longer than a dead process's lease.
const NAME_WAIT: Duration = Duration::from_secs(GENERATOR_LIFE_SECONDS + 1);

/// As this machine calls itself.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What a generator is and where it belongs; the same for all its rounds.
#[derive(Debug)]
pub struct Home {
    pub id: String,
    /// This process, whatever its name.
    pub process: StreamId,
    pub contest: String,
    pub redis: RedisAddress,
    pub journal: PathBuf,
    /// Tests of endpoints and practice, and no rounds.
    pub practice_only: bool,
    /// It may be the keeper of the split.
    pub keep: bool,
    pub cores: Vec<usize>,
    pub tracing: Tracing,
    /// What this machine's own file allows at the most.
    pub ceiling: Option<Policy>,
    pub names: Names,
    pub trust: ContestTrust,
    /// What each round leaves for people and machines to read.
    pub outputs: Outputs,
    pub metrics: Option<Metrics>,
    /// What rings on this machine can do.
    pub features: Features,
    /// What the operator says where our requests come from; empty: the interfaces' addresses.
    pub told_addresses: Vec<IpAddr>,
    /// Added to the offset of our clock as it is believed, in microseconds: not 0 only in rehearsals.
    pub clock_shift_us: i64,
}

impl Home {
    pub(super) fn new(flags: &Serve) -> Result<Home, Failed> {
        let usage = |error: String| Failed::Usage(error);
        if !flowtest_contest::names::is_name(&flags.contest) {
            return Err(usage(format!(
                "\"{}\" cannot be the name of a contest: write the one that its file or the dashboard has, up to {} characters \
                 without {{, }} and :",
                bounded(&flags.contest, 100),
                flowtest_contest::names::NAME_CHARS_MAX
            )));
        }
        let ceiling =
            flags.policy.as_deref().map(guard::ceiling).transpose().map_err(|error| usage(error.to_string()))?;
        let names = flags.hosts.names()?;
        let id = flags.id.clone().unwrap_or_else(host_name);
        if !flowtest_contest::names::is_name(&id) {
            return Err(usage(format!("{id:?} cannot be a generator's name: give it one by --id")));
        }
        let cores = flags.cores.choose()?;
        // The room for a journal is told before the first round: without it nobody may be armed.
        std::fs::create_dir_all(&flags.journal).map_err(|error| {
            let folder = shown(&flags.journal);
            Failed::Message(format!("cannot make the journal's folder {folder} ({error}): name another by --journal"))
        })?;
        Ok(Home {
            id,
            process: StreamId::from_bits(run::random_bits()?),
            features: probe_ring(cores[0])?,
            told_addresses: flags.source_address.clone(),
            clock_shift_us: flags.clock_shift_us,
            contest: flags.contest.clone(),
            redis: flags.redis.address()?,
            journal: flags.journal.clone(),
            practice_only: flags.practice_only,
            keep: flags.keep,
            cores,
            tracing: flags.trace.tracing(),
            ceiling,
            names,
            trust: flags.authorities.contest_trust()?,
            // What cannot be written shall show now and not when a round is armed.
            metrics: flags.outputs.start_metrics()?,
            outputs: flags.outputs.clone(),
        })
    }

    /// Waits until our name is ours: a process that died holds it for some seconds more.
    pub(super) fn take_name(&self, scoreboard: &mut Scoreboard, stop: &AtomicBool) -> Result<(), Failed> {
        let until = Instant::now() + NAME_WAIT;
        let mut has_waited = false;
        while !self.practice_only && scoreboard.hold_lease(&self.contest, &self.id, self.process)? == Lease::Others {
            self.say_waiting(scoreboard);
            has_waited = true;
            if Instant::now() >= until || stop.load(Ordering::Relaxed) {
                return Err(Failed::Message(self.name_is_taken()));
            }
            thread::sleep(super::LOOK);
        }
        if has_waited {
            let _ = scoreboard.end_waiting(&self.contest, &self.id);
        }
        Ok(())
    }

    /// Tells organisers that we want a name that is another's: who is not heard is missed by nobody. Nothing hangs on it.
    pub(super) fn say_waiting(&self, scoreboard: &mut Scoreboard) {
        let who = format!("{}, process {}", host_name(), std::process::id());
        let _ = scoreboard.say_waiting(&self.contest, &self.id, &who);
    }

    pub(super) fn name_is_taken(&self) -> String {
        format!(
            "another process plays as generator {} of {}: with both, everybody would get this share of the requests twice. \
             Give this one a name of its own by --id, or end the other",
            self.id, self.contest
        )
    }

    pub(super) fn scoreboard(&self) -> Result<Scoreboard, ScoreboardError> {
        Scoreboard::open(self.redis.clone())
    }

    /// The document's policy within our ceiling.
    pub(super) fn policy(&self, control: &Control) -> Result<Policy, Failed> {
        within(&control.contest.policy, self.ceiling.as_ref())
            .map_err(|error| Failed::Message(format!("the policy of {}: {error}", self.contest)))
    }

    /// Where our requests come from.
    pub(super) fn source_addresses(&self) -> Vec<IpAddr> {
        if self.told_addresses.is_empty() { source_addresses::source_addresses() } else { self.told_addresses.clone() }
    }

    /// How far our clock is from Redis's, as it is believed.
    pub(super) fn measure_clock(&self, scoreboard: &mut Scoreboard) -> Result<ClockOffset, ScoreboardError> {
        let measured = scoreboard.measure_clock()?;
        Ok(ClockOffset { offset_us: measured.offset_us.saturating_add(self.clock_shift_us), ..measured })
    }

    /// A core that no worker uses, for the recorder.
    pub(super) fn spare_core(&self) -> Option<usize> {
        usable_cores().into_iter().find(|core| !self.cores.contains(core))
    }

    pub(super) fn start_record(
        &self,
        control: &Control,
        plan: &Plan,
        offset: ClockOffset,
        taker: &Taker,
    ) -> record::Start {
        let mut start = run::start_record(&control.contest, plan, &self.cores, Some(taker));
        start.clock_offset_us = offset.offset_us;
        start.clock_error_us = offset.error_us;
        start.document = control.to_json().into_bytes();
        start
    }
}

/// The document's policy, if our own ceiling allows it.
pub(super) fn within(policy: &Policy, ceiling: Option<&Policy>) -> Result<Policy, PolicyError> {
    ceiling.map_or_else(|| Ok(policy.clone()), |ceiling| policy.within(ceiling))
}
