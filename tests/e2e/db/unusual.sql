-- Objects that a dump has to treat in a way of their own.
CREATE ROLE "the owner"; CREATE ROLE reader;
CREATE SCHEMA odd AUTHORIZATION "the owner";
CREATE EXTENSION settled; INSERT INTO settled VALUES (1000, false), (1001, false);
CREATE DOMAIN odd.positive AS int CHECK (VALUE > 0);
CREATE TYPE odd.pair AS (a int, b text);
CREATE TYPE odd.mood AS ENUM ('sad', 'ok', 'it''s "fine"', 'x', 'y', 'z');
CREATE TYPE odd.span AS RANGE (subtype = float8);
CREATE COLLATION odd.german (provider = icu, locale = 'de-u-kf-upper');
CREATE TEXT SEARCH CONFIGURATION odd.plain (COPY = pg_catalog.simple);
CREATE FUNCTION odd.twice(a int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT a * 2; END;
CREATE AGGREGATE odd.total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR odd.%%% (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE TABLE odd.kinds (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, p odd.positive, c odd.pair, m odd.mood, r odd.span, mr int4multirange,
    many int[][], doubled int GENERATED ALWAYS AS (odd.twice(p)) STORED, name text COLLATE odd.german,
    b bytea, x xml, j json, jb jsonb, v tsvector, n numeric, f float8, d date, ts timestamptz, i interval, u uuid, bits varbit,
    ip inet, mac macaddr8, pt point, pg path, money money, ref regclass, lsn pg_lsn);
INSERT INTO odd.kinds (p, c, m, r, mr, many, name, b, x, j, jb, v, n, f, d, ts, i, u, bits, ip, mac, pt, pg, money, ref, lsn) VALUES
    (1, (1, E'\\.'), 'it''s "fine"', '[1,2)', '{[1,2),[5,9)}', '{{1,NULL},{3,4}}', E'a\tb\nc\rd\\', '\x00ff5c2e0a', '<a>&lt;</a>', '{"a": 1,  "a": 2}',
     '{"a": "\u00e9"}', 'a:1 b:2', 'NaN', 'Infinity', 'infinity', '-infinity', '1 year -2 days 3.5 s', '00000000-0000-0000-0000-000000000001', B'101',
     '2001:db8::1/64', '08:00:2b:01:02:03:04:05', '(1,2)', '((0,0),(1,1))', 12.34, 'odd.kinds', '0/16B3748'),
    (2, NULL, NULL, 'empty', '{}', '{}', '', '', NULL, 'null', '[]', '', 123456789012345678901234567890.5, '-0', '4713-01-01 BC', '294276-01-01',
     '-178000000 years', NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, NULL, NULL, NULL, NULL, NULL, E'\\N', E'\\\\x', NULL, NULL, NULL, NULL, 1e-100, 1.1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'pg_class', NULL);
CREATE TABLE odd."\." ("\N" text, "x" text); INSERT INTO odd."\." VALUES (E'\\.', E'\\.\n\\.'), (NULL, E'\\N');
CREATE TABLE odd.nothing (); INSERT INTO odd.nothing DEFAULT VALUES; INSERT INTO odd.nothing DEFAULT VALUES;
CREATE TABLE odd.parent (a int); CREATE TABLE odd.child (b int) INHERITS (odd.parent); INSERT INTO odd.parent VALUES (1); INSERT INTO odd.child VALUES (2, 3);
CREATE TABLE odd.hashed (k odd.mood, v int) PARTITION BY HASH (k);
CREATE TABLE odd.hashed_0 PARTITION OF odd.hashed FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE odd.hashed_1 PARTITION OF odd.hashed FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE odd.hashed_2 PARTITION OF odd.hashed FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO odd.hashed SELECT (enum_range(NULL::odd.mood))[i % 6 + 1], i FROM generate_series(1, 600) i;
CREATE TABLE odd.ranged (a int, b int) PARTITION BY RANGE (a); CREATE TABLE odd.ranged_1 (b int, a int);
ALTER TABLE odd.ranged ATTACH PARTITION odd.ranged_1 FOR VALUES FROM (0) TO (10); INSERT INTO odd.ranged VALUES (1, 2), (3, 4);
CREATE TABLE odd.ranged_rest PARTITION OF odd.ranged DEFAULT PARTITION BY LIST (b); CREATE TABLE odd.ranged_rest_7 PARTITION OF odd.ranged_rest FOR VALUES IN (7);
INSERT INTO odd.ranged VALUES (100, 7);
CREATE TABLE odd.hen (id int PRIMARY KEY, egg int); CREATE TABLE odd.egg (id int PRIMARY KEY, hen int REFERENCES odd.hen);
ALTER TABLE odd.hen ADD FOREIGN KEY (egg) REFERENCES odd.egg DEFERRABLE INITIALLY DEFERRED; INSERT INTO odd.hen VALUES (1, NULL); INSERT INTO odd.egg VALUES (1, 1); UPDATE odd.hen SET egg = 1;
CREATE TABLE odd.kept (a int, gone int, EXCLUDE USING gist (int4range(a, a, '[]') WITH &&)); INSERT INTO odd.kept VALUES (1, 1); ALTER TABLE odd.kept DROP COLUMN gone;
CREATE UNLOGGED TABLE odd.unlogged AS SELECT 1 AS a;
CREATE TABLE odd.elsewhere (a int) TABLESPACE elsewhere; INSERT INTO odd.elsewhere VALUES (1);
CREATE TABLE odd.guarded (a int); ALTER TABLE odd.guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE odd.guarded FORCE ROW LEVEL SECURITY; INSERT INTO odd.guarded VALUES (1), (2);
CREATE POLICY one ON odd.guarded TO reader USING (a = 1); GRANT SELECT (a) ON odd.guarded TO reader WITH GRANT OPTION; ALTER TABLE odd.guarded OWNER TO "the owner";
CREATE VIEW odd.seen WITH (security_barrier) AS SELECT * FROM odd.kinds; CREATE MATERIALIZED VIEW odd.stored AS SELECT count(*) FROM odd.hashed; CREATE MATERIALIZED VIEW odd.never AS SELECT 1 AS a WITH NO DATA;
CREATE VIEW odd.numbers AS WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 5) TABLE n;
CREATE STATISTICS odd.stats (ndistinct) ON a, b FROM odd.ranged_1;
CREATE INDEX partial ON odd.kinds (lower(name)) INCLUDE (p) WHERE p > 0;
CREATE SEQUENCE odd.seq INCREMENT -3 MINVALUE -100 MAXVALUE 100 CYCLE; SELECT nextval('odd.seq');
CREATE FUNCTION odd.audit() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RAISE EXCEPTION 'a restore fires no triggers; -- $$'; END $f$;
CREATE TRIGGER audit BEFORE INSERT ON odd.kept FOR EACH ROW EXECUTE FUNCTION odd.audit(); ALTER TABLE odd.kept ENABLE ALWAYS TRIGGER audit;
CREATE RULE nowhere AS ON INSERT TO odd.parent DO INSTEAD (SELECT 1; SELECT 2);
CREATE FUNCTION odd.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$; CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION odd.watch();
CREATE FOREIGN DATA WRAPPER far; CREATE SERVER away FOREIGN DATA WRAPPER far OPTIONS (host 'x'); CREATE USER MAPPING FOR reader SERVER away OPTIONS (password 'made-up');
CREATE FOREIGN TABLE odd.remote (a int) SERVER away;
CREATE PUBLICATION out FOR TABLE odd.hen WHERE (id > 0), TABLES IN SCHEMA public; CREATE SUBSCRIPTION inward CONNECTION 'dbname=nowhere' PUBLICATION out WITH (connect = false, slot_name = 'not_ours');
SELECT lo_from_bytea(4711, '\x00010203'); COMMENT ON LARGE OBJECT 4711 IS 'it''s large'; GRANT SELECT ON LARGE OBJECT 4711 TO reader; SELECT lo_create(4712);
ALTER DEFAULT PRIVILEGES FOR ROLE "the owner" IN SCHEMA odd GRANT SELECT ON TABLES TO reader;
COMMENT ON COLUMN odd.kinds.name IS E'a\nb'; COMMENT ON TRIGGER audit ON odd.kept IS ''';';
