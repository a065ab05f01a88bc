(** * What one step of the walk has checked

    - [stepped]: the inequalities between the numbers of a new unit and those of its operands;
    - [visit_stepped]: [visit] returns only what satisfies them. Nothing else looks into [visit].

    Rests on Walk.v. *)

From Coq Require Import Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import checker.Program fast.Walk fast.WalkEarly.
From Lastbit Require fast.Backward fast.Mixed fast.WalkLines.
Import ListNotations.
Open Scope Z_scope.

Notation columns_type := (option (float * stored * positive)).

(** How far the columns move the unit; and its change; the line they are kept in; and all lines with
    it. *)
Definition reach_of (columns : columns_type) : Z :=
  match columns with None => 0 | Some (t, l, _) => up (Z.abs (val t) * size l) end.
Definition drift_of (ratio : Z) (columns : columns_type) : Z :=
  match columns with None => 0 | Some (t, l, _) => up (Z.abs (val t) * drift ratio l) end.
Definition line_of (columns : columns_type) : option (float * positive) :=
  match columns with None => None | Some (t, _, p) => Some (t, p) end.
Definition lines_with (st : state) (k : positive) (columns : columns_type) : PositiveMap.t stored :=
  match columns with
  | Some (_, l, p) => if Pos.eqb p (own_line k) then PositiveMap.add p l (lines st) else lines st
  | None => lines st
  end.

Section Step.
Variables (ratio : Z) (boundary : int).

Section Stepped.
Variables (st : state) (o : cunit) (base box : bool) (columns : columns_type) (missed : Z)
  (bent apart early : sparse)
  (c : cell).

Notation k := (next st).
Notation m := (known st).
Notation at_ := (row_in (known st)).
Notation r := (row_of_cell c).
Notation kept := (kept_of o (row_of_cell c)).
Notation slope := (if box then 0 else r_slope (row_of_cell c)).

(** What one step has decided of the new unit [k], of operation [o], by its [cell], [c]: *)
Record stepped : Prop := {
  (** it reads earlier units; *)
  p_reads : forall j, In j (reads_of o) -> (j < k)%positive;
  p_may_box : box = true -> may_box o = true;
  p_box : c_box c = box;
  p_base : c_base c = base;
  (** its columns are those of its operands, and off by [missed]; *)
  p_columns : columns_for boundary st k kept = Some (columns, missed);
  p_line : c_line c = line_of columns;
  (** what a change leaves, by pixel: of its form, of the core of the duals, and of both; *)
  p_bent : early_change at_ m o slope = Some bent;
  p_apart : early_change at_ m o (r_slope r) = Some apart;
  p_early : early = rough (merge bent (early_kept m kept));
  p_ascending : ascending early = true;
  p_nonneg : all_nonneg early = true;
  p_cell_early : c_early c = if base then [] else early;
  (** its rounding, and what its form leaves of its value; *)
  p_fits : exists F, Z.abs (r_centre r) + r_rad r - r_rho r <= F /\ 0 <= F <= limit /\
    fits at_ o = true /\ rounding_of at_ F o <= r_rho r;
  p_rho : 0 <= r_rho r <= limit;
  p_rest : rest_of at_ o r < r_rest r;
  (** its error, with all that its columns miss; its range; *)
  p_err_pos : 0 <= r_err r;
  p_err : up (Z.abs (centre_gap at_ o r)) +
    up (zsum (map (fun w => Z.abs (fst w) * val (c_gap (cell_at m (snd w)))) kept)) +
    missed + r_rest r + r_rho r <= r_err r;
  p_rad : reach_of columns + r_err r <= r_rad r;
  p_mag : Z.abs (r_centre r) + r_rad r <= limit;
  (** what it adds to its change, and its change; *)
  p_own_pos : 0 <= val (c_own c);
  p_own : change_of at_ 0 (moved m) (still o) slope + 2 * r_rho r +
    up (zsum (map (fun w => Z.abs (fst w) * val (c_gap_own (cell_at m (snd w)))) kept)) +
    4 * missed + (if base then peak early else 0) <= val (c_own c);
  p_move : val (c_own c) + drift_of ratio columns <= val (c_move c);
  (** and what its readers miss of it. *)
  p_tame : base = true -> tame ratio boundary k (val (c_own c)) (r_err r) = true;
  p_gap : base = false -> r_err r <= val (c_gap c) /\ c_gap_own c = c_own c
}.
End Stepped.

(** What the state is after the unit, and what is kept of it for the way back, [v]. [seen]: the line
    that readers of a base see. *)
Record leads_to (st : state) (o : cunit) (base : bool) (columns : columns_type) (apart : sparse)
  (c : cell) (seen : stored)
    (st' : state) (v : Backward.visited) : Prop := {
  p_next : next st' = Pos.succ (next st);
  p_known : known st' = PositiveMap.add (next st) c (known st);
  p_plain : base = false -> fresh st' = fresh st /\ lines st' = lines_with st (next st) columns;
  p_new : base = true ->
  lines st' = lines st /\ Uint63.to_Z (index (next st)) = Z.pred (Zpos (next st)) /\
    exists l off, settled boundary columns = Some (l, off) /\ f_n (c_err c) = 17%nat /\
      extended boundary l (index (next st)) (f_int (c_err c)) = Some seen /\
      fresh st' = PositiveMap.add (base_line (next st)) seen (fresh st) /\ off <= val (c_gap c) /\
      4 * val (c_gap c) <= val (c_gap_own c);
  p_op : Backward.v_op v = o;
  p_slope : Backward.v_slope v = r_slope (row_of_cell c);
  p_vrho : Backward.v_rho v = r_rho (row_of_cell c);
  p_vrem : Backward.v_rem v = change_of (row_in (known st)) 0 (moved (known st)) (still o)
  (r_slope (row_of_cell c));
  p_vmove : Backward.v_move v = val (c_move c) + peak (c_early c);
  p_vearly : Backward.v_early v = apart
}.

Ltac bind := lazymatch goal with |- (let x := ?a in @?f x) = ?r -> ?G =>
  let y := fresh x in pose (y := a); change (f y = r -> G); cbv beta end.

Theorem visit_stepped st o base box st' v : visit ratio boundary st o base box = Some (st', v) ->
  exists columns missed bent apart early c seen,
    stepped st o base box columns missed bent apart early c /\
    leads_to st o base columns apart c seen st' v.
Proof.
  cbv beta delta [visit]. repeat bind. destruct (negb _) eqn:E; [discriminate|].
  apply negb_false_iff in E. rewrite andb_true_iff, forallb_forall in E. destruct E as [E1 E2].
  repeat bind. destruct (columns_for _ _ _ _) as [[columns missed]|] eqn:C; [|discriminate].
  destruct (early_change at_ m o (if box then 0 else s)) as [bent|] eqn:Bt; [|discriminate].
  destruct (early_change at_ m o s) as [apart|] eqn:Ap; [|discriminate]. repeat bind.
  destruct views as [[[lines' fresh'] lost]|] eqn:V; [|discriminate]. repeat bind.
  destruct (_ && _) eqn:K; [|discriminate]. rewrite !andb_true_iff, !Z.leb_le, Z.ltb_lt in K.
  intros H. apply Mixed.some_pair in H. destruct H as [<- <-].
  destruct K
    as
    ((((((((((((((((((K1 & K2) & K3) & K4) & K5) & K6) & K7) & K8) & K9) & K10) & K11) & K12) & K13)
      & K14) &
    K15) & K16) & K17) & K18) & K19).
  assert (Base : base = true -> tame ratio boundary k (val own) (r_err r) = true /\
    4 * val gap <= val gap_own /\
    Uint63.to_Z (index k) = Z.pred (Zpos k)).
  { intros B. rewrite B in K17. cbn [negb orb] in K17.
    rewrite !andb_true_iff, Z.leb_le, Z.eqb_eq in K17. tauto. }
  exists columns, missed, bent, apart, early', c,
    (match PositiveMap.find (base_line k) fresh' with Some l => l | None => empty end). split.
  - split; try assumption; try reflexivity.
    + intros j Hj. now apply Pos.ltb_lt, E1.
    + intros B. rewrite B in E2. exact E2.
    + exists whole. now repeat split.
    + now split.
    + intros B. now apply Base.
    + intros B. assert (G : gap_own = own) by (unfold gap_own; now rewrite B). split; [|exact G].
      unfold views in V. rewrite B in V. assert (L : val err = lost) by congruence.
      change (val err <= val gap). now rewrite L.
  - split; try reflexivity.
    + intros B. unfold views in V. rewrite B in V. cbn [fresh lines]. injection V as V1 V2 _.
      split; [now symmetry|exact (eq_sym V1)].
    + intros B. destruct (Base B) as (_ & B2 & B3). unfold views in V. rewrite B in V.
      cbn [lines fresh]. destruct (settled boundary columns) as [[l off']|]; [|discriminate].
      destruct (extended boundary l (index k) (f_int err)) as [l'|] eqn:X; [|discriminate].
      assert (V2 : PositiveMap.add (base_line k) l' (fresh st) = fresh') by congruence.
      split; [congruence|]. split; [exact B3|]. assert (V3 : off' = lost) by congruence.
      exists l, off'. rewrite <- V2, PositiveMap.gss, V3. split; [reflexivity|].
      split; [change (f_n err = 17%nat); unfold err; now rewrite B|]. split; [exact X|].
      split; [reflexivity|]. split; [exact K16|exact B2].
Qed.
End Step.

Arguments p_reads {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_may_box {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_box {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_base {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_columns {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_line {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_bent {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_apart {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_early {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_ascending {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_nonneg {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_cell_early {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_fits {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_rho {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_rest {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_err_pos {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_err {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_rad {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_mag {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_own_pos {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_own {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_move {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_tame {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_gap {ratio boundary st o base box columns missed bent apart early c}.
Arguments p_next {boundary st o base columns apart c seen st' v}.
Arguments p_known {boundary st o base columns apart c seen st' v}.
Arguments p_plain {boundary st o base columns apart c seen st' v}.
Arguments p_new {boundary st o base columns apart c seen st' v}.
Arguments p_op {boundary st o base columns apart c seen st' v}.
Arguments p_slope {boundary st o base columns apart c seen st' v}.
Arguments p_vrho {boundary st o base columns apart c seen st' v}.
Arguments p_vrem {boundary st o base columns apart c seen st' v}.
Arguments p_vmove {boundary st o base columns apart c seen st' v}.
Arguments p_vearly {boundary st o base columns apart c seen st' v}.
