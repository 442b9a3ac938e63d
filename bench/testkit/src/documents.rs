//! Documents as the product writes them, made by the product's own types.

use flowtest_contract::RoundValidity;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{GeneratorHealth, ProbeAnswer, ProbeVerdicts};

/// All three headers are right.
pub const RIGHT: ProbeVerdicts = ProbeVerdicts { token: true, version: true, from: true };

/// What an idle generator says about itself: two cores, a clock close to Redis's, nothing to play.
pub fn generator_health(id: &str, beat: UtcUs) -> GeneratorHealth {
    GeneratorHealth {
        id: id.to_owned(),
        beat,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cores: 2,
        features: ["recv_multishot", "buf_ring", "defer_taskrun", "no_sqarray", "min_wait"].map(str::to_owned).to_vec(),
        tier: "A".to_owned(),
        stream: None,
        round: None,
        revision: 1,
        rate: 0,
        rate_ratio: None,
        lag_p99_us: None,
        saturated_seconds: 0,
        validity: RoundValidity::default(),
        own_fault_cause: None,
        busy_with: None,
        clock_offset_us: Some(12),
        clock_error_us: Some(40),
        halted_by: Some(0),
        clock_step_us: None,
        backlog: 0,
        publish_error: None,
        journal_still_us: None,
        stopped: None,
        disk_free_bytes: 1 << 40,
        busy_percent: vec![1, 2],
        source_addresses: Vec::new(),
        takes_from: None,
        trouble: None,
        beside_trouble: None,
        tls_trouble: None,
    }
}

/// What a test of an endpoint found that was answered.
pub fn probe_answer(id: &str, endpoint: &str, at: UtcUs, verdicts: ProbeVerdicts) -> ProbeAnswer {
    let message = if verdicts.version { "It answers as it should." } else { "Version is v1 and should be v2." };
    ProbeAnswer {
        id: id.to_owned(),
        at,
        generator: "g1".to_owned(),
        endpoint: endpoint.to_owned(),
        verdicts: Some(verdicts),
        latency_us: Some(500),
        message: message.to_owned(),
        ..ProbeAnswer::default()
    }
}
