//! What sinks in shadow mode would have sent, as the API shows it.

use super::operations::{AdminService, Outcome, unavailable};
use crate::api::{OperationError, Page, ShadowQuery, ShadowView};
use crate::setting::SinkName;
use crate::store::{ShadowFilter, ShadowRow};

pub(super) async fn page(
    service: &AdminService,
    sink: &SinkName,
    which: &ShadowQuery,
    cursor: Option<&str>,
    limit: usize,
) -> Outcome<Page<ShadowView>> {
    let wrong = |_| OperationError::Wrong("`cursor` is not one that this service gave".into());
    let after: Option<i64> = cursor.map(str::parse).transpose().map_err(wrong)?;
    let filter = ShadowFilter { since: which.since, until: which.until };
    let rows = service.explainer.store.shadows(sink, &filter, after, limit).await.map_err(unavailable)?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|(number, _)| number.to_string());
    let rows = rows.into_iter().map(|(_, row)| view(row)).collect::<Outcome<_>>()?;
    Ok(Page { rows, next })
}

fn view(row: ShadowRow) -> Outcome<ShadowView> {
    let foreign = |err| OperationError::Unavailable(format!("the record of `{}` cannot be read: {err}", row.key.event_id));
    let message = row.message.as_deref().map(serde_json::from_str).transpose().map_err(foreign)?;
    Ok(ShadowView {
        event_id: row.key.event_id.clone(),
        target: row.key.target.to_string(),
        rule: row.rule.as_deref().map(str::to_owned),
        at: row.at,
        generation: row.key.generation,
        message,
    })
}
