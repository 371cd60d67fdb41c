//! The one GET that readiness checks need; tests have a full client in the `workload` feature.

use std::time::Duration;

/// GET; the body if the status is 2xx, else an error with status and the start of the body.
pub fn get_ok(url: &str, deadline: Duration) -> anyhow::Result<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(deadline))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let mut answer = agent.get(url).call()?;
    let status = answer.status();
    let body = answer.body_mut().read_to_string()?;
    anyhow::ensure!(
        status.is_success(),
        "{url} answered {status}: {}",
        body.chars().take(300).collect::<String>()
    );
    Ok(body)
}
