CREATE TABLE portal (id text PRIMARY KEY, name text);
INSERT INTO portal SELECT 'C'||i, E'na\tme\n'||i FROM generate_series(1,20) i;
CREATE TABLE "Odd ""name""
é" (a int, "b c" text);
INSERT INTO "Odd ""name""
é" VALUES (1,'\.'), (2, NULL), (3, '-- PostgreSQL database dump complete');
CREATE SCHEMA "s p"; CREATE TABLE "s p".empty (x int);
CREATE FUNCTION atomic(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a > 0 THEN 2 ELSE 3 END; END;
CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $b$ BEGIN RETURN 'a;b'; -- '
END $b$;
CREATE RULE r AS ON INSERT TO "s p".empty DO ALSO (DELETE FROM portal WHERE id = 'x'; DELETE FROM portal WHERE id = 'y');
COMMENT ON TABLE portal IS 'it''s; a
''comment'';
';
SELECT lo_from_bytea(0, repeat('large',1000)::bytea);
SELECT lo_from_bytea(0, 'small'::bytea);
