//! A simulated Jira and Slack in this process, each behind a gate.

use ticketwire::setting::Secret;
use ticketwire::shutdown::Tasks;
use ticketwire::simulate::{Flavour, Settings, Simulation};

use super::{Gate, SECRET, Stage};

pub struct Scene {
    pub simulation: Simulation,
    pub jira: Gate,
    pub slack: Gate,
    tasks: Tasks,
}

impl Scene {
    pub async fn set() -> Self {
        Self::of(Flavour::Cloud).await
    }

    pub async fn of(flavour: Flavour) -> Self {
        let tasks = Tasks::new();
        let settings = Settings { webhook_secret: Secret::new(SECRET), ..Settings::of(flavour) };
        let simulation = Simulation::start(settings, &tasks).await.expect("it starts");
        let (jira, slack) = (Gate::before(simulation.jira_url()).await, Gate::before(simulation.slack_url()).await);
        Self { simulation, jira, slack, tasks }
    }

    /// A connection that may ask Jira.
    pub fn asking(&self) -> String {
        let (email, token) = (quoted(self.simulation.email()), quoted(self.simulation.api_token()));
        let (flavour, auth) = match self.simulation.flavour() {
            Flavour::Cloud => ("cloud", format!("type = \"api-token\", email = {email}, token = {token}")),
            Flavour::Datacenter => ("datacenter", format!("type = \"pat\", token = {token}")),
        };
        format!(
            "[connection.acme]\nurl = {}\nflavour = {flavour:?}\nauth = {{ {auth} }}\nwebhook = {{ secrets = [{SECRET:?}] }}\n",
            quoted(&self.jira.url())
        )
    }

    /// What happens from now on is sent to the stage by the simulation itself.
    pub fn sends_to(&self, stage: &Stage) {
        self.simulation.webhook_to(format!("http://127.0.0.1:{}/hooks/acme", stage.receiver));
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
