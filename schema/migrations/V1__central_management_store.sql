-- The Central Management store: what a pool's administrators decided, and what its nodes need to know to act on it.
-- Words are the administrators' own. States that may not exist are constraints, each with a name that a test breaks.

-- Names compare without regard to case. lower() alone depends on the locale that the database was made with (in C it
-- knows ASCII only, in Turkish it maps I to a dotless i), so the collation is named.
create function folded(name text) returns text
    language sql immutable strict parallel safe
    return lower(name collate "und-x-icu");

-- Versions are compared numerically; as text 1.0.522.98 would come after 1.0.522.103.
create function version_numbers(version text) returns bigint[]
    language sql immutable strict parallel safe
    return string_to_array(version, '.')::bigint[];

-- One form only, so that equal versions are equal texts.
create function is_version(version text) returns boolean
    language sql immutable parallel safe
    return version is null or version ~ '^(0|[1-9][0-9]{0,9})(\.(0|[1-9][0-9]{0,9})){3}$';

create table sites (
    id bigint generated always as identity constraint sites_pkey primary key,
    name text not null constraint sites_name_check check (char_length(name) between 1 and 64)
);
create unique index sites_name_unique on sites (folded(name));

create table pools (
    id bigint generated always as identity constraint pools_pkey primary key,
    site_id bigint not null constraint pools_site_fkey references sites,
    -- Lower case always: host names have no case, and this one stands in identities.
    fqdn text not null
        constraint pools_fqdn_unique unique
        constraint pools_fqdn_check check (fqdn = lower(fqdn collate "C") and char_length(fqdn) between 1 and 253),
    -- The folder of the pool's files; two pools in one folder would clear each other's files.
    service_id text not null constraint pools_service_id_check check (service_id ~ '^[A-Za-z0-9-]{1,64}$'),
    -- Null is "not configured": the response then says so with an empty element.
    internal_update_url text,
    external_update_url text,
    internal_files_url text,
    external_files_url text
);
create unique index pools_service_id_unique on pools (folded(service_id));
create index pools_site on pools (site_id);

create table nodes (
    pool_id bigint not null constraint nodes_pool_fkey references pools,
    name text not null,
    program_version text not null,
    heartbeat_at timestamptz not null default now()
);
create unique index nodes_name_unique on nodes (pool_id, folded(name));

-- A package is its bytes: importing them again is importing them once.
create table packages (
    digest bytea constraint packages_pkey primary key
        constraint packages_digest_check check (octet_length(digest) = 32),
    name text not null,
    size_bytes bigint not null constraint packages_size_check check (size_bytes >= 0),
    imported_by text not null,
    imported_at timestamptz not null default now()
);

-- What an update is for. A row of its own, so that a rule and its updates cannot speak of different devices, and so that
-- a name has one spelling: that of the first import.
create table update_targets (
    id bigint generated always as identity constraint update_targets_pkey primary key,
    kind text not null constraint update_targets_kind_check check (kind in ('device', 'interim')),
    device_type text not null,
    brand text,
    model text,
    revision text,
    locale text not null,
    update_type text not null,
    -- An interim build is for any device of its type and locale.
    constraint update_targets_interim_check check (num_nulls(brand, model, revision) = case kind when 'interim' then 3 else 0 end)
);
create unique index update_targets_unique on update_targets (
    folded(device_type), folded(coalesce(brand, '')), folded(coalesce(model, '')), folded(coalesce(revision, '')),
    folded(locale), folded(update_type)
);

create table updates (
    id bigint generated always as identity constraint updates_pkey primary key,
    pool_id bigint not null constraint updates_pool_fkey references pools,
    target_id bigint not null constraint updates_target_fkey references update_targets,
    version text not null constraint updates_version_check check (is_version(version)),
    package_digest bytea not null constraint updates_package_fkey references packages,
    constraint updates_unique unique (pool_id, target_id, version),
    -- For update_files, which repeats the pool.
    constraint updates_pool_unique unique (id, pool_id)
);
create index updates_target on updates (target_id, version);

create table update_files (
    update_id bigint not null,
    -- Repeated here because paths are unique within a pool: two files of one path would overwrite each other.
    pool_id bigint not null,
    name text not null,
    role text not null constraint update_files_role_check check (role in ('image', 'signature', 'other')),
    digest bytea not null constraint update_files_digest_check check (octet_length(digest) = 32),
    size_bytes bigint not null constraint update_files_size_check check (size_bytes >= 0),
    -- Without time zone: a cabinet does not say which one its packer lived in. Logged, never compared.
    time_stamp timestamp not null,
    path text not null,
    constraint update_files_update_fkey foreign key (update_id, pool_id) references updates (id, pool_id) on delete cascade
);
create unique index update_files_path_unique on update_files (pool_id, folded(path));
create unique index update_files_name_unique on update_files (update_id, folded(name));
create unique index update_files_image_unique on update_files (update_id) where role = 'image';
create unique index update_files_signature_unique on update_files (update_id) where role = 'signature';

-- What security catalogs list, by the digest of the catalog file: equal files list the same. Read at the import and not
-- verified; kept so that verification will not need every catalog again.
create table catalog_digests (
    catalog bytea not null constraint catalog_digests_catalog_check check (octet_length(catalog) = 32),
    place integer not null,
    algorithm text not null,
    value bytea not null,
    constraint catalog_digests_pkey primary key (catalog, place)
);

create table device_update_rules (
    id uuid constraint device_update_rules_pkey primary key default gen_random_uuid(),
    pool_id bigint not null constraint device_update_rules_pool_fkey references pools,
    target_id bigint not null constraint device_update_rules_target_fkey references update_targets,
    approved_version text,
    pending_version text,
    restore_version text,
    -- Targets compare without regard to case, so keys do too.
    constraint device_update_rules_unique unique (pool_id, target_id),
    -- Each version is an update of the same pool and devices: no rule can offer files that are not there.
    constraint device_update_rules_approved_fkey foreign key (pool_id, target_id, approved_version)
        references updates (pool_id, target_id, version),
    constraint device_update_rules_pending_fkey foreign key (pool_id, target_id, pending_version)
        references updates (pool_id, target_id, version),
    constraint device_update_rules_restore_fkey foreign key (pool_id, target_id, restore_version)
        references updates (pool_id, target_id, version),
    constraint device_update_rules_pending_check check (pending_version <> approved_version),
    constraint device_update_rules_restore_check
        check (restore_version is null or (approved_version is not null and restore_version <> approved_version))
);
create index device_update_rules_target on device_update_rules (target_id);

create table stepping_stones (
    id bigint generated always as identity constraint stepping_stones_pkey primary key,
    device_type text not null,
    brand text,
    model text,
    below text not null constraint stepping_stones_below_check check (is_version(below)),
    via text not null constraint stepping_stones_via_check check (is_version(via)),
    -- A phone that took the stone and still needed it would take it for ever.
    constraint stepping_stones_progress_check check (version_numbers(via) >= version_numbers(below))
);
create unique index stepping_stones_unique on stepping_stones (
    folded(device_type), folded(coalesce(brand, '')), folded(coalesce(model, '')), below, via
);
-- The one of the original: Communicator Phone Edition before 1.0.522.98 takes 1.0.522.103 first.
insert into stepping_stones (device_type, below, via) values ('UCPhone', '1.0.522.98', '1.0.522.103');

-- Scopes: no site is the global scope.
create table test_devices (
    id bigint generated always as identity constraint test_devices_pkey primary key,
    site_id bigint constraint test_devices_site_fkey references sites,
    name text not null constraint test_devices_name_check check (char_length(name) between 1 and 64),
    identifier_type text not null
        constraint test_devices_identifier_type_check check (identifier_type in ('MACAddress', 'SerialNumber')),
    identifier text not null,
    -- MAC addresses are stored as their digits, so that one address is one text.
    constraint test_devices_identifier_check check (case identifier_type
        when 'MACAddress' then identifier ~ '^([0-9A-F]{2}){6,20}$'
        else identifier ~ '^[A-Za-z0-9_-]{1,64}$' end)
);
create unique index test_devices_name_unique on test_devices (coalesce(site_id, 0), folded(name));

-- Columns' defaults are those of the original, so that the global row is reset by taking them.
create table device_update_configuration (
    site_id bigint constraint device_update_configuration_site_fkey references sites,
    log_clean_up_interval_s integer not null default 864000
        constraint device_update_configuration_clean_up_check check (log_clean_up_interval_s between 86400 and 31536000),
    log_clean_up_time_of_day time,
    log_flush_interval_s integer not null default 300
        constraint device_update_configuration_flush_check check (log_flush_interval_s between 60 and 3600),
    max_log_cache_limit_bytes bigint not null default 512000
        constraint device_update_configuration_cache_check check (max_log_cache_limit_bytes between 4096 and 4294967295),
    max_log_file_size_bytes bigint not null default 1024000
        constraint device_update_configuration_file_check check (max_log_file_size_bytes between 4096 and 4294967295),
    valid_log_file_extensions text[] not null
        default '{.dmp,.clg,.clg1,.clg2,.bak,.kdmp,.dat,.bin,.cat,.xml,.txt,.hex}',
    valid_log_file_types text[] not null default '{Watson,Config,Diaglog,CELog}'
);
create unique index device_update_configuration_unique on device_update_configuration (coalesce(site_id, 0));
insert into device_update_configuration default values;

-- Accounts of phones outside.
create table accounts (
    name text not null constraint accounts_name_check check (char_length(name) between 1 and 256),
    -- A clear text that ends up here by a mistake is refused.
    password_hash text not null constraint accounts_password_hash_check check (password_hash like '$argon2%'),
    created_at timestamptz not null default now()
);
create unique index accounts_name_unique on accounts (folded(name));

create table administrators (
    id bigint generated always as identity constraint administrators_pkey primary key,
    name text not null constraint administrators_name_check check (char_length(name) between 1 and 128),
    created_at timestamptz not null default now()
);
create unique index administrators_name_unique on administrators (folded(name));

-- Only the SHA-256 of a token's secret is kept: whoever reads this table cannot act as anybody.
create table api_tokens (
    administrator_id bigint not null constraint api_tokens_administrator_fkey references administrators,
    name text not null constraint api_tokens_name_check check (char_length(name) between 1 and 128),
    digest bytea not null
        constraint api_tokens_digest_unique unique
        constraint api_tokens_digest_check check (octet_length(digest) = 32),
    created_at timestamptz not null default now(),
    -- Null is "never".
    expires_at timestamptz,
    revoked_at timestamptz
);
create unique index api_tokens_name_unique on api_tokens (administrator_id, folded(name));

-- Who did what to what. Each event's hash covers its content and the hash of the one before, so that a changed or
-- missing event shows; the head of the chain stands in generation, so that missing newest events show too.
create table admin_events (
    number bigint constraint admin_events_pkey primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    object text not null,
    before jsonb,
    after jsonb,
    hash bytea not null constraint admin_events_hash_check check (octet_length(hash) = 32)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'integrity_constraint_violation', constraint = 'admin_events_append_only';
end
$$;
create trigger admin_events_append_only before update or delete or truncate on admin_events
    for each statement execute function refuse_change();
revoke update, delete, truncate on admin_events from public;

-- Counts the changes. Its one row is also the lock that puts admin events into one order.
create table generation (
    is_only_row boolean constraint generation_pkey primary key default true
        constraint generation_only_row_check check (is_only_row),
    value bigint not null default 0,
    last_event bigint not null default 0,
    last_event_hash bytea not null default decode(repeat('00', 32), 'hex')
        constraint generation_hash_check check (octet_length(last_event_hash) = 32)
);
insert into generation default values;
