//! Kinds of events in a condition: they are a closed set, and a misspelt one would match nothing for ever.

use cel::common::ast::operators::{EQUALS, IN, NOT_EQUALS};
use cel::common::ast::{CallExpr, Expr, IdedExpr};

use super::expression::{Wrong, path_of};
use super::projects::text;
use crate::deliver::names::nearest;
use crate::event::Kind;

/// The name under which a condition sees the event.
pub(super) const ROOT: &str = "event";

/// What is wrong with the kinds that are compared with the event's.
pub(super) fn mistake(call: &CallExpr) -> Option<Wrong> {
    let named: Vec<String> = match (call.func_name.as_str(), call.args.as_slice()) {
        (EQUALS | NOT_EQUALS, [one, other]) if is_kind(one) => text(other).into_iter().collect(),
        (EQUALS | NOT_EQUALS, [one, other]) if is_kind(other) => text(one).into_iter().collect(),
        (IN, [one, IdedExpr { expr: Expr::List(list), .. }]) if is_kind(one) => list.elements.iter().filter_map(text).collect(),
        _ => Vec::new(),
    };
    let kinds = || Kind::ALL.iter().map(|kind| kind.as_str());
    let unknown = named.into_iter().find(|name| kinds().all(|kind| kind != name.as_str()))?;
    let hint = nearest(&unknown, kinds())
        .map_or_else(|| "see the event's schema for its kinds, as in `issue.created`".to_owned(), |kind| format!("did you mean `{kind}`?"));
    Some((format!("`when` compares `event.kind` with `{unknown}`, which is no kind of event"), hint))
}

fn is_kind(expr: &IdedExpr) -> bool {
    path_of(&expr.expr).is_some_and(|path| path == [ROOT, "kind"])
}
