-- Plays and hours of each artist by month.
select
    p.user_id,
    date_trunc('month', p.local_date)::date as month,
    a.artist_id,
    a.name as artist,
    count(*) as plays,
    sum(p.listened_ms) / 3600000.0 as hours
from {{ source('echostats', 'plays') }} as p
join {{ source('echostats', 'tracks') }} as t on t.user_id = p.user_id and t.track_id = p.track_id
join {{ source('echostats', 'artists') }} as a on a.user_id = t.user_id and a.artist_id = t.artist_id
where p.counts
group by 1, 2, 3, 4
