//! What the people of the simulated site write. Plain office life, nothing that could be mistaken for a real company's.

pub(crate) static DOCS_SUMMARIES: [&str; 10] = [
    "Explain the invoice export",
    "Onboarding guide for new colleagues",
    "Screenshots of the calendar are out of date",
    "Describe how to book a meeting room",
    "Glossary lacks the word *backlog*",
    "Release notes for the spring version",
    "Page on two-factor login",
    "Shorten the chapter about printing",
    "Table of supported browsers",
    "Translate the welcome page",
];

pub(crate) static OPS_SUMMARIES: [&str; 10] = [
    "Office printer prints only in magenta",
    "Disk almost full on the build machine",
    "Nightly backup takes nine hours",
    "Certificate of the intranet expires soon",
    "Invoice export stops at 1,000 rows",
    "Log rotation keeps too many files",
    "Time zone wrong in the booking system",
    "Meeting room display shows yesterday",
    "Search is slow on Monday mornings",
    "Mail to <all staff> arrives twice",
];

pub(crate) static HELP_SUMMARIES: [&str; 8] = [
    "Cannot log in since this morning",
    "Badge does not open the side door",
    "Please install the drawing program",
    "New laptop for Ode & Tarek",
    "Password reset mail never arrives",
    "Headset only works on the left",
    "Access to the invoice folder",
    "Projector in room 3 is dark",
];

pub(crate) static DESCRIPTIONS: [&str; 6] = [
    "Seen by *two people* this week.\n\nSteps:\n# open the page\n# press {{Export}}\n# wait",
    "It used to work until the last update. Größe: 3 MB – nothing unusual.",
    "See the notes of the last meeting. Not urgent, but *annoying*.",
    "Three people asked about it.\n\nWhat we know is in {{notes.txt}}.",
    "Happens every time on the second floor, never on the first.",
    "Please look at it before the end of the month.",
];

pub(crate) static COMMENTS: [&str; 10] = [
    "I can reproduce it.",
    "Looks good to me now.",
    "Waiting for the supplier, they promised an answer *tomorrow*.",
    "Could you have a look, [~accountid:712020:3c4d5e6f-ina]?",
    "The first half is done, the rest follows after lunch.",
    "Same on my machine: {{error 42}}.",
    "Thank you! That was quick.",
    "Let us talk about it on Thursday.",
    "Not before the new printer is here.",
    "Done, please check – and tell me if 5 < 6 still holds.",
];

pub(crate) static INTERNAL_NOTES: [&str; 4] = [
    "Internal: this customer has called three times, please be quick.",
    "Internal: the contract ends in May, do not promise anything.",
    "Internal: probably the cable again.",
    "Internal: second line is informed.",
];

pub(crate) static STAFF_COMMENTS: [&str; 3] = [
    "For the team only: we have a workaround.",
    "For the team only: the budget is not approved yet.",
    "For the team only: wait for the audit.",
];

pub(crate) static RESTRICTED_SUMMARIES: [&str; 4] = [
    "Salaries visible in the invoice export",
    "Key of the server room is missing",
    "Review of the access rights of leavers",
    "Weak password on the backup share",
];

pub(crate) static LABELS: [&str; 6] = ["printer", "export", "guide", "quick-win", "second-floor", "security"];

pub(crate) static FILES: [(&str, &str); 4] = [
    ("printer-photo.png", "image/png"),
    ("export.csv", "text/csv"),
    ("floor plan (2nd).pdf", "application/pdf"),
    ("notes.txt", "text/plain"),
];

pub(crate) static WORK: [&str; 4] = ["looked for the cause", "wrote the first draft", "talked to the supplier", "tested on two machines"];
