//! A simulated Jira and Slack in this process, each behind a gate.

use ticketwire::shutdown::Tasks;
use ticketwire::simulate::{Settings, Simulation};

use super::{Gate, SECRET};

pub struct Scene {
    pub simulation: Simulation,
    pub jira: Gate,
    pub slack: Gate,
    tasks: Tasks,
}

impl Scene {
    pub async fn set() -> Self {
        let tasks = Tasks::new();
        let simulation = Simulation::start(Settings::default(), &tasks).await.expect("it starts");
        let (jira, slack) = (Gate::before(simulation.jira_url()).await, Gate::before(simulation.slack_url()).await);
        Self { simulation, jira, slack, tasks }
    }

    /// A connection that may ask Jira.
    pub fn asking(&self) -> String {
        let (email, token) = (quoted(self.simulation.email()), quoted(self.simulation.api_token()));
        format!(
            "[connection.acme]\nurl = {}\nflavour = \"cloud\"\nauth = {{ type = \"api-token\", email = {email}, token = {token} }}\nwebhook = {{ secrets = [{SECRET:?}] }}\n",
            quoted(&self.jira.url())
        )
    }

    /// One that receives only.
    pub fn listening(name: &str) -> String {
        format!("[connection.{name}]\nurl = \"https://{name}.example\"\nflavour = \"cloud\"\nwebhook = {{ secrets = [{SECRET:?}] }}\n")
    }

    pub fn workspace(&self, name: &str, is_cleared: bool) -> String {
        let clearance = if is_cleared { CLEARED } else { "" };
        format!(
            "[sink.{name}]\ntype = \"slack\"\ntoken = {}\napi_url = {}\nchannel = \"#{name}\"\n{clearance}",
            quoted(self.simulation.slack_token()),
            quoted(&format!("{}/api", self.slack.url()))
        )
    }

    /// The texts that a channel took, in order, without the space that a missing value leaves at the end.
    pub fn texts(&self, channel: &str) -> Vec<String> {
        self.simulation
            .slack()
            .messages()
            .into_iter()
            .filter(|message| message.channel == channel)
            .map(|message| message.text.trim_end().to_owned())
            .collect()
    }
}

const CLEARED: &str = "clearance = { security_levels = [\"*\"], restricted_comments = true, internal_comments = true }\n";

impl Drop for Scene {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// A text in TOML.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}
