\set QUIET on
select to_regclass('database_owner') is not null as owned, to_regclass('version') is not null as versioned \gset
\if :versioned
select coalesce(max(version), 0) as version from version \gset
\else
\set version 0
\endif
select exists(select from information_schema.columns where table_schema = current_schema() and table_name = 'portal' and column_name = 'room_type') as current,
       exists(select from information_schema.columns where table_schema = current_schema() and table_name = 'version' and column_name = 'compat') as compatible,
       to_regclass('user_team') is not null as legacy \gset
\if :owned
select coalesce(max(owner), '') as owner from database_owner \gset
\else
\set owner ''
\endif
\if :compatible
select coalesce(max(compat), 0) as compat from version \gset
\else
\set compat 0
\endif
select json_build_object('kind', 'schema', 'owner', :'owner', 'version', :version, 'compat', :compat,
    'generation', case when :'current' = 't' then 'bridgev2' when :'legacy' = 't' then 'legacy' else '' end);
\if :current
select json_build_object('kind', 'portal', 'id', id, 'receiver', receiver, 'name', name, 'type', room_type, 'mxid', mxid, 'in_space', in_space,
    'parent_id', parent_id)
  from portal where bridge_id = '' order by room_type <> 'space', name, id;
select json_build_object('kind', 'login', 'id', id, 'user', user_mxid, 'name', remote_name,
    'has_token', coalesce(metadata->>'token', '') <> '', 'token_kind', left(metadata->>'token', 5),
    'has_app_token', coalesce(metadata->>'app_token', '') <> '', 'space_room', space_room)
  from user_login order by id;
select json_build_object('kind', 'last', 'direction', case when sender_mxid like '@slack\_%' then 'slack->matrix' else 'matrix->slack' end,
    'count', count(*), 'at', max(timestamp) / 1000)
  from message where mxid not like '~fake:%'
  group by case when sender_mxid like '@slack\_%' then 'slack->matrix' else 'matrix->slack' end;
\elif :legacy
select json_build_object('kind', 'portal', 'id', team_id || '-' || channel_id, 'receiver', '', 'name', coalesce(nullif(name, ''), plain_name),
    'type', case type when 2 then 'dm' when 3 then 'group_dm' else '' end, 'mxid', mxid, 'in_space', coalesce(in_space, false),
    'parent_id', team_id)
  from portal order by coalesce(nullif(name, ''), plain_name), team_id, channel_id;
select json_build_object('kind', 'login', 'id', team_id || '-' || slack_id, 'user', mxid, 'name', team_name,
    'has_token', coalesce(token, '') <> '', 'token_kind', left(token, 5), 'has_app_token', false, 'space_room', null)
  from user_team order by team_id, slack_id;
select json_build_object('kind', 'last', 'direction', case when matrix_message_id like '$%' and author_id = any(select slack_id from user_team) then 'matrix->slack' else 'slack->matrix' end,
    'count', count(*), 'at', (max(slack_message_id::float) * 1000000)::bigint)
  from message
  group by case when matrix_message_id like '$%' and author_id = any(select slack_id from user_team) then 'matrix->slack' else 'slack->matrix' end;
\endif
