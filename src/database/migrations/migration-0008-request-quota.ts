import { Migration } from '@mikro-orm/migrations';

/** How many requests a second a project may make, over all processes, which take them from one bucket by the slice. */
export class Migration0008RequestQuota extends Migration {
  override up(): void {
    const limit = 'add column max_requests_per_second bigint check (max_requests_per_second >= -1)';
    this.addSql(`alter table project_quotas ${limit}`);
    this.addSql(`alter table quota_defaults ${limit} not null default -1`);
    // Forgotten by a crash of the database, which is no harm.
    this.addSql(`
      create unlogged table request_buckets (
        project_id text primary key,
        tokens double precision not null,
        refill_time timestamptz not null
      )`);
    // A bucket holds at most what comes in a second. Answers how many of the wanted requests it had.
    this.addSql(`
      create function quota_take_requests(project text, rate double precision, wanted integer)
        returns integer language plpgsql as $$
      declare
        bucket request_buckets;
        filled double precision;
        granted integer;
      begin
        insert into request_buckets values (project, rate, clock_timestamp()) on conflict do nothing;
        select * into bucket from request_buckets where project_id = project for update;
        filled := least(rate, bucket.tokens
          + rate * greatest(0, extract(epoch from clock_timestamp() - bucket.refill_time)));
        granted := least(wanted, floor(filled)::integer);
        update request_buckets set tokens = filled - granted, refill_time = clock_timestamp()
         where project_id = project;
        return granted;
      end $$`);
  }

  override down(): void {
    this.addSql('drop function quota_take_requests');
    this.addSql('drop table request_buckets');
    this.addSql('alter table project_quotas drop column max_requests_per_second');
    this.addSql('alter table quota_defaults drop column max_requests_per_second');
  }
}
