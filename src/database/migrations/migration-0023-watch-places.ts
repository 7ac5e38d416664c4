import { Migration } from '@mikro-orm/migrations';

/** How many places of watches each process has of those that a caller may have in all of them. */
export class Migration0023WatchPlaces extends Migration {
  override up(): void {
    this.addSql(`
      create table watch_places (
        process_id uuid not null references processes on delete cascade,
        project_id text not null,
        user_id text not null,
        held integer not null check (held > 0),
        primary key (project_id, user_id, process_id)
      )`);
    this.addSql('create index watch_places_of_process on watch_places (process_id)');
    // One caller's are given by one at a time, 'watc' in ASCII. What a process has that is silent, as ProcessRegistry has it, is free.
    this.addSql(`
      create function watch_places_take(process uuid, project text, watcher text, wanted integer, allowed integer)
        returns integer language plpgsql as $$
      declare
        given bigint;
      begin
        perform pg_advisory_xact_lock(2002875491, hashtext(project || ' ' || watcher));
        select least(wanted, allowed - coalesce(sum(held), 0)) into given
          from watch_places join processes on processes.id = process_id
         where project_id = project and user_id = watcher
           and (process_id = process or heartbeat_time > now() - interval '10 seconds');
        if given <= 0 then
          return 0;
        end if;
        insert into watch_places values (process, project, watcher, given)
            on conflict (project_id, user_id, process_id) do update set held = watch_places.held + excluded.held;
        return given;
      exception
        -- The process was taken for lost. It says what it has as soon as it is known again.
        when foreign_key_violation then
          return wanted;
      end $$`);
  }

  override down(): void {
    this.addSql('drop function watch_places_take');
    this.addSql('drop table watch_places');
  }
}
