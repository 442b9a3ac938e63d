//! What a generator says about itself, once a look.

use super::Controller;
use super::round_runner::RoundRunner;

use flowtest_contract::utc_us;
use flowtest_journal::free_bytes;
use flowtest_scoreboard::generator::GeneratorHealth;

impl Controller {
    /// How we are, from what was looked at last.
    pub(super) fn health(&self) -> GeneratorHealth {
        let runner = self.runner.as_ref();
        let figures = runner.and_then(RoundRunner::figures);
        let validity = runner.map(RoundRunner::validity).unwrap_or_default();
        GeneratorHealth {
            id: self.home.id.clone(),
            beat: utc_us(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cores: self.home.cores.len() as u32,
            features: self.home.features.names().into_iter().map(str::to_owned).collect(),
            tier: self.home.features.letter().to_owned(),
            stream: runner.map(|runner| runner.stream),
            round: runner.map(|runner| runner.id),
            revision: runner.map_or(0, |runner| runner.control.revision),
            halted_by: Some(runner.map_or_else(|| self.halted_by(), RoundRunner::halted_by)),
            rate: figures.map_or(0, |figures| figures.rate),
            rate_ratio: figures.and_then(|figures| figures.rate_ratio),
            lag_p99_us: figures.and_then(|figures| figures.lag_p99_us),
            saturated_seconds: validity.invalid_seconds(),
            validity,
            own_fault_cause: runner.and_then(RoundRunner::own_fault_cause).map(str::to_owned),
            busy_with: runner.and_then(RoundRunner::busy_with),
            clock_offset_us: self.clock.map(|clock| clock.offset_us),
            clock_error_us: self.clock.map(|clock| clock.error_us),
            clock_step_us: runner.map(RoundRunner::clock_step_us),
            backlog: runner.map_or(0, RoundRunner::backlog),
            publish_error: runner.and_then(RoundRunner::publish_error),
            journal_still_us: runner.and_then(RoundRunner::journal_still_us),
            stopped: self.own_stop.clone(),
            disk_free_bytes: free_bytes(&self.home.journal).unwrap_or(0),
            busy_percent: figures.map_or_else(Vec::new, |figures| figures.busy_percent.clone()),
            source_addresses: self.source_addresses.clone(),
            // Who sends nothing here takes no share: others have it meanwhile.
            takes_from: runner.and_then(RoundRunner::takes_from).filter(|_| self.own_stop.is_none()),
            trouble: self.trouble(),
            beside_trouble: self.beside.trouble(),
            tls_trouble: self.home.trust.trouble().map(ToString::to_string),
        }
    }
}
