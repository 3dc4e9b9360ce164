"""The tables, indexes, triggers and the view of a log database in their current form.

Every constant is the SQL that creates one table, or a few that belong together. A table is only
ever extended by nullable columns: other releases of `llm` read and write the same file.
"""

from __future__ import annotations

# Every table, view and trigger that a log has in its current form.
OBJECTS = frozenset(
    (
        *("attachments", "conversations", "fragment_aliases", "fragments", "message_tree"),
        *("messages", "part_attachments", "part_fragments", "parts", "prompt_attachments"),
        *("prompt_fragments", "responses", "responses_ad", "responses_ai", "responses_au"),
        *("responses_fts", "schemas", "system_fragments", "threads", "tool_calls"),
        *("tool_instances", "tool_instantiations", "tool_responses", "tool_results"),
        *("tool_results_attachments", "tools", "turn_fragments", "turn_search"),
        *("turn_search_ad", "turn_search_ai", "turn_search_au", "turn_search_fts"),
        *("turn_tools", "turns"),
    )
)

# Before August 2023 every prompt went into this table; it is kept where it has rows.
OLD_LOGS_COLUMNS = """
    id integer primary key,
    model text,
    prompt text,
    system text,
    prompt_json text,
    options_json text,
    response text,
    response_json text,
    reply_to_id integer references logs(id),
    chat_id integer,
    duration_ms integer,
    datetime_utc text
"""

CONVERSATIONS = """create table if not exists conversations (
    id text primary key,
    name text,
    model text
)"""

RESPONSES = """create table if not exists responses (
    id text primary key,
    model text,
    prompt text,
    system text,
    prompt_json text,
    options_json text,
    response text,
    response_json text,
    conversation_id text references conversations(id),
    duration_ms integer,
    datetime_utc text,
    input_tokens integer,
    output_tokens integer,
    token_details text,
    schema_id text references schemas(id),
    resolved_model text,
    reasoning text
)"""

ATTACHMENTS = (
    """create table if not exists attachments (
    id text primary key,
    type text,
    path text,
    url text,
    content blob
)""",
    """create table if not exists prompt_attachments (
    response_id text references responses(id),
    attachment_id text references attachments(id),
    "order" integer,
    primary key (response_id, attachment_id)
)""",
)

SCHEMAS = """create table if not exists schemas (
    id text primary key,
    content text
)"""

FRAGMENTS = (
    """create table if not exists fragments (
    id integer primary key,
    hash text,
    content text,
    datetime_utc text,
    source text
)""",
    "create unique index if not exists idx_fragments_hash on fragments (hash)",
    """create table if not exists fragment_aliases (
    alias text primary key,
    fragment_id integer references fragments(id)
)""",
)

# For {table}: prompt_fragments and system_fragments.
RESPONSE_FRAGMENTS_COLUMNS = """
    response_id text references responses(id),
    fragment_id integer references fragments(id),
    "order" integer,
    primary key (response_id, fragment_id, "order")
"""

TOOLS = (
    """create table if not exists tools (
    id integer primary key,
    hash text,
    name text,
    description text,
    input_schema text,
    plugin text
)""",
    "create unique index if not exists idx_tools_hash on tools (hash)",
    """create table if not exists tool_responses (
    tool_id integer references tools(id),
    response_id text references responses(id),
    primary key (tool_id, response_id)
)""",
    """create table if not exists tool_calls (
    id integer primary key,
    response_id text references responses(id),
    tool_id integer references tools(id),
    name text,
    arguments text,
    tool_call_id text
)""",
    """create table if not exists tool_results (
    id integer primary key,
    response_id text references responses(id),
    tool_id integer references tools(id),
    name text,
    output text,
    tool_call_id text,
    instance_id integer references tool_instances(id),
    exception text
)""",
)

TOOL_INSTANCES = """create table if not exists tool_instances (
    id integer primary key,
    plugin text,
    name text,
    arguments text
)"""

TOOL_RESULTS_ATTACHMENTS = """create table if not exists tool_results_attachments (
    tool_result_id integer references tool_results(id),
    attachment_id text references attachments(id),
    "order" integer,
    primary key (tool_result_id, attachment_id)
)"""

TOOL_INSTANTIATIONS_COLUMNS = """
    turn_id text references turns(id),
    tool_call_id text,
    instance_id integer references tool_instances(id),
    primary key (turn_id, tool_call_id)
"""

MESSAGE_STORE = (
    """create table if not exists messages (
    hash text primary key,
    parent_hash text references messages(hash),
    role text,
    provider_metadata text
)""",
    "create index if not exists idx_messages_parent_hash on messages (parent_hash)",
    """create table if not exists parts (
    id integer primary key,
    message_hash text references messages(hash),
    position integer,
    type text,
    tool_name text,
    text text,
    payload text
)""",
    "create unique index if not exists idx_parts_message_hash_position"
    " on parts (message_hash, position)",
    """create table if not exists part_attachments (
    part_id integer references parts(id),
    attachment_id text references attachments(id),
    "order" integer,
    primary key (part_id, attachment_id, "order")
)""",
    """create table if not exists part_fragments (
    part_id integer references parts(id),
    fragment_id integer references fragments(id),
    "order" integer,
    primary key (part_id, fragment_id, "order")
)""",
    "create index if not exists idx_part_fragments_fragment_id on part_fragments (fragment_id)",
    """create table if not exists threads (
    id text primary key,
    name text,
    tip_message_hash text references messages(hash),
    forked_from text references threads(id),
    datetime_utc text
)""",
    """create table if not exists turns (
    id text primary key,
    thread_id text references threads(id),
    parent_message_hash text references messages(hash),
    tip_message_hash text references messages(hash),
    model text,
    resolved_model text,
    options_json text,
    schema_id text references schemas(id),
    input_tokens integer,
    output_tokens integer,
    token_details text,
    duration_ms integer,
    datetime_utc text,
    response_json text
)""",
    "create index if not exists idx_turns_thread_id on turns (thread_id)",
    """create table if not exists turn_tools (
    turn_id text references turns(id),
    tool_id integer references tools(id),
    instance_id integer references tool_instances(id),
    primary key (turn_id, tool_id)
)""",
    """create table if not exists turn_fragments (
    turn_id text references turns(id),
    fragment_id integer references fragments(id),
    "order" integer,
    kind text,
    primary key (turn_id, fragment_id, kind, "order")
)""",
    "create index if not exists idx_turn_fragments_fragment_id on turn_fragments (fragment_id)",
    """create table if not exists turn_search (
    id integer primary key,
    turn_id text references turns(id),
    prompt text,
    response text
)""",
    "create unique index if not exists idx_turn_search_turn_id on turn_search (turn_id)",
    f"create table if not exists tool_instantiations ({TOOL_INSTANTIATIONS_COLUMNS})",
)

# One row per message, children indented below their parent. A message belongs to every turn whose
# chain contains it; `seen` walks those chains upwards and keeps the earliest date.
MESSAGE_TREE = """create view if not exists message_tree as
with recursive
opening (hash, line) as (
    select messages.hash, coalesce(
        nullif(parts.text, ''),
        (select fragments.content from part_fragments
            join fragments on fragments.id = part_fragments.fragment_id
            where part_fragments.part_id = parts.id
            order by part_fragments."order" limit 1),
        '[' || coalesce(parts.type, 'empty') || ']')
    from messages left join parts on parts.message_hash = messages.hash and parts.position = 0
),
seen (hash, datetime_utc) as (
    select tip_message_hash, datetime_utc from turns
    union
    select messages.parent_hash, seen.datetime_utc
    from seen join messages on messages.hash = seen.hash
    where messages.parent_hash is not null
),
first_seen (hash, datetime_utc) as (
    select hash, min(datetime_utc) from seen group by hash
),
descent (hash, root_hash, indent, path) as (
    select hash, hash, '', printf('%012d', rowid) from messages where parent_hash is null
    union all
    select messages.hash, descent.root_hash, descent.indent || '    ',
        descent.path || '/' || printf('%012d', messages.rowid)
    from descent join messages on messages.parent_hash = descent.hash
)
select
    descent.root_hash as root_hash,
    strftime('%Y-%m-%d %H:%M:%S', first_seen.datetime_utc) as datetime,
    descent.indent || substr(replace(opening.line, char(10), ' '), 1, 60) as message,
    coalesce((select group_concat(tool_name, ', ') from parts
        where message_hash = descent.hash and type = 'tool_result'), '') as tools,
    descent.hash as message_hash,
    descent.path as path
from descent
join opening on opening.hash = descent.hash
left join first_seen on first_seen.hash = descent.hash
order by descent.path"""


_ADD_TO_INDEX = (
    "insert into {table}_fts (rowid, prompt, response) values (new.rowid, new.prompt, new.response)"
)
_REMOVE_FROM_INDEX = (
    "insert into {table}_fts ({table}_fts, rowid, prompt, response)"
    " values ('delete', old.rowid, old.prompt, old.response)"
)
#: The SQL for a full-text index over `prompt` and `response` of `{table}`, kept by triggers.
FULL_TEXT_INDEX = (
    "create virtual table if not exists {table}_fts using fts5 (prompt, response, content={table})",
    "create trigger if not exists {table}_ai after insert on {table}"
    f" begin {_ADD_TO_INDEX}; end",
    "create trigger if not exists {table}_ad after delete on {table}"
    f" begin {_REMOVE_FROM_INDEX}; end",
    "create trigger if not exists {table}_au after update on {table}"
    f" begin {_REMOVE_FROM_INDEX}; {_ADD_TO_INDEX}; end",
    "insert into {table}_fts ({table}_fts) values ('rebuild')",
)
