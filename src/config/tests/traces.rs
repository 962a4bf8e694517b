//! `[traces]`: what is refused, and where its secrets stay.

use super::Files;

#[cfg(feature = "otel")]
#[test]
fn mistakes_about_traces_are_told_with_their_lines() {
    let text = "[traces]\nendpoint = \"collector:4318\"\nsample_ratio = 7\nheaders = { \"no name\" = \"hush\", authorization = { env = \"GONE\" } }";
    insta::assert_snapshot!(Files::new(text).report(&[]), @r#"
    ticketwire.toml:2: `endpoint` of `[traces]`: it must begin with `https://` or `http://` and name a host
      hint: write where OTLP is taken over HTTP, as in `http://127.0.0.1:4318`
    ticketwire.toml:3: `sample_ratio` of `[traces]`: 7 is no part of a whole
      hint: write 0.0 to 1.0, as in `0.1` for a tenth
    ticketwire.toml:4: `headers.authorization` of `[traces]`: the environment variable `GONE` is not set
      hint: set it where the service is started
    ticketwire.toml:4: `headers.no name` of `[traces]`: it is no name of a header
      hint: use letters, digits and `-`, as in `authorization`
    the configuration has 4 problems
    "#);
    insta::assert_snapshot!(Files::new("[traces]\nendpont = \"http://collector\"\nsample_ratio = \"all\"").report(&[]), @r#"
    ticketwire.toml:2: `endpont` is no member of `[traces]`
      hint: did you mean `endpoint`?
    ticketwire.toml:3: `sample_ratio` of `[traces]` is of the wrong type: a text
      hint: write a number
    the configuration has 2 problems
    "#);
}

#[cfg(feature = "otel")]
#[test]
fn a_collector_keeps_its_headers_to_itself() {
    let text = "[traces]\nendpoint = \"http://collector:4318\"\nsample_ratio = 1\nheaders = { authorization = { env = \"TOKEN\" } }";
    let config = Files::new(text).load(&[("TOKEN", "hush")]);
    assert!(config.traces.is_some() && config.warnings.is_empty() && !format!("{config:?}").contains("hush"), "{config:?}");
    let other = Files::new(text).load(&[("TOKEN", "hush again")]);
    assert_eq!(other.hash(), config.hash(), "a secret is no part of the hash");
    assert_eq!(config.changes(&other).fixed(), ["`headers` of `[traces]`"], "but it is another configuration");
    assert!(Files::new("[traces]\nsample_ratio = 0.5").load(&[]).traces.is_none(), "no endpoint, no traces");
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_build_without_traces_says_so() {
    let report = Files::new("[traces]\nendpoint = \"http://collector:4318\"").report(&[]);
    assert!(report.contains("toml:2: `endpoint` of `[traces]`: this build has no OpenTelemetry"), "{report}");
    assert!(report.contains("--features otel"), "{report}");
    Files::new("[traces]\nsample_ratio = 0.5").load(&[]);
}
