(** * One step of the backward pass is sound

    - [described]: what an annotation of Bound.v has to say of a unit that the walk has visited;
    - [behind]: what the pass has when the units from [k] on are visited: duals that are 0 for units
      below, what they pass back, and sums and defects at least as large as the real ones;
    - [visit_ok]: visiting unit [k] leads from [behind] of [k + 1] to [behind] of [k].

    Rests on PassBack.v and Bound.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool FMapPositive Uint63.
From Lastbit Require Import Statement Totals network.Duals network.Forms network.Bound.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors fast.Backward
  fast.Modular fast.PairSums
  fast.PassBack.
Import ListNotations.
Open Scope R_scope.

(** What an annotation says of unit [k], from what the walk has kept of it. *)
Record described (net : network) (ann : annotation) (k : nat) (v : visited) : Prop := {
  d_core : forall j, core ann k j = coef (core_of (v_op v) (v_slope v)) j;
  d_rho : rho ann k <= real (v_rho v);
  d_rem : forall q, (q < pixels net)%nat ->
  remainder ann q k <= real (v_rem v) + coef (v_early v) q;
  d_move : forall q, (q < pixels net)%nat -> 0 <= move ann q k <= real (v_move v)
}.

(** A sum in which one member changes from 0. *)
Lemma over_added n k f f' : (k < n)%nat -> f k = 0 -> (forall i, i <> k -> f' i = f i) ->
  over n f' = over n f + f' k.
Proof.
  intros Hk Z E. assert (O : over n (fun i => if (i =? k)%nat then f' k else 0) = f' k).
  { rewrite (over_one n k); [now rewrite Nat.eqb_refl|exact Hk|]. intros j _ N.
    now destruct (Nat.eqb_spec j k). }
  rewrite <- O at 1. rewrite <- over_plus. apply over_ext. intros j _.
  destruct (Nat.eqb_spec j k) as [->|N]; [lra|]. rewrite (E j N). lra.
Qed.

Section Pass.
Variables (logits : list positive) (scale : positive -> Z) (V : nat -> visited) (n : nat).
Notation N := (length logits).
Notation cells_ok := (cells_ok logits scale).
Notation cell_ok := (cell_ok logits scale).
Notation earlies := (earlies logits).

(** The core of unit [k] at unit [j]. *)
Definition core_at (k j : nat) : R := coef (core_of (v_op (V k)) (v_slope (V k))) j.

Section Duals.
Variable a : nat -> nat -> Z.                               (* unit k, class c *)
Definition dual_at (k c : nat) : R := scaled_dual (scale (key k)) (a k c).
Definition gap (c j k : nat) : R := dual_at k c - dual_at k j.
Definition passed (j c : nat) : R := over n (fun i => core_at i j * dual_at i c).
Definition chosen_at (c k : nat) : R := if (num (nth c logits 1%positive) =? k)%nat then 1 else 0.
Definition off_at (c j k : nat) : R :=
  chosen_at c k - chosen_at j k + (passed k c - passed k j) - gap c j k.

(** Units from [k] on have been visited. *)
Record behind (k : nat) (st : state) : Prop := {
  b_zero : forall i c, (i < k)%nat -> a i c = 0%Z;
  b_core : forall i j c, (i <= j)%nat -> core_at i j * dual_at i c = 0;
  b_cells : cells_ok k passed (cells st);
  b_sums : table N (sums st) (mass st) (fun c j =>
    over n (fun i => Rabs (gap c j i) * real (v_rem (V i) + 2 * v_rho (V i))));
  b_early :
  earlies (fun q c j => over n (fun i => Rabs (gap c j i) * coef (v_early (V i)) q)) (early st);
  b_off : forall c j, (c < j)%nat -> (j < N)%nat ->
    over n (fun i => if (k <=? i)%nat then Rabs (off_at c j i) * real (v_move (V i)) else 0) <=
      IZR (to_Z (defects st)) * p2 (- 56)
}.
End Duals.

(** The duals [a], with those of unit [k] set to [z]. *)
Definition extended (a : nat -> nat -> Z) (k : nat) (z : nat -> Z) (i c : nat) : Z :=
  if (i =? k)%nat then z c else a i c.

(** What the limbs leave of a dual: less than one unit. *)
Lemma limbs_ok zh zl : let q := ((zh + zl / 65536) / 65536)%Z in
  0 <= IZR (zh * 65536 + zl) / 2 ^ 32 - IZR q < 1.
Proof.
  cbv zeta. set (q := ((zh + zl / 65536) / 65536)%Z).
  assert (A := Z.mul_div_le zl 65536 ltac:(lia)).
  assert (B := Z.mul_succ_div_gt zl 65536 ltac:(lia)).
  assert (C := Z.mul_div_le (zh + zl / 65536) 65536 ltac:(lia)).
  assert (D := Z.mul_succ_div_gt (zh + zl / 65536) 65536 ltac:(lia)). fold q in C, D.
  assert (L : (q * 4294967296 <= zh * 65536 + zl < (q + 1) * 4294967296)%Z) by lia.
  destruct L as [L1 L2]. apply IZR_le in L1. apply IZR_lt in L2. rewrite (mult_IZR q) in L1.
  rewrite (mult_IZR (q + 1)), (plus_IZR q) in L2. lra.
Qed.

Lemma real_upward w t f : upward w t = Some f -> 0 <= real w <= IZR (to_Z f) * p2 (t - 100).
Proof.
  intros H. destruct (upward_ok _ _ _ H) as (P & _ & F & _). split; [now apply real_pos|].
  assert (Q := p2_opp t). assert (X := p2_pos t). apply (Rmult_le_compat_r (p2 t)) in F; [|lra].
  rewrite Rmult_assoc, Q in F. replace (t - 100)%Z with (t + -100)%Z by lia. rewrite p2_plus.
  change (p2 (-100)) with (/ 2 ^ 100).
  unfold real. lra.
Qed.

Section Visit.
Variables (a : nat -> nat -> Z) (k : nat) (st st1 st' : state) (x : cell).
Hypothesis Hk : (k < n)%nat.
Hypothesis Hb : behind a (S k) st.
Hypotheses (S1 : sums st1 = sums st) (S2 : mass st1 = mass st) (S3 : early st1 = early st)
  (S4 : defects st1 = defects st).
Hypothesis Hc : cells_ok k (passed a) (cells st1).
Hypothesis Hx : cell_ok k (passed a k) x.

Lemma visit_ok : visit logits scale (key k) (V k) x st1 = Some st' ->
  exists z, behind (extended a k z) k st'.
Proof.
  unfold visit. cbv zeta. rewrite S1, S2, S3, S4. set (s := scale (key k)).
  destruct (upward one _) as [unit|] eqn:E1; [|discriminate].
  destruct (upward (v_rem _ + _) _) as [f|] eqn:E2; [|discriminate].
  destruct (upward (v_move _) _) as [d|] eqn:E3; [|discriminate].
  destruct Hx as (Mx & Ox & zh & zl & H).
  set (as_ := Backward.duals (key k) unit logits (c_high x) (c_low x)).
  destruct (charge (mass st) _ _) as [u|] eqn:E4; [|discriminate].
  destruct (charge (defects st) _ _) as [e|] eqn:E5; [|discriminate].
  destruct (book_early _ _ _ _ _) as [es|] eqn:E6; [|discriminate].
  destruct (pass_all _ _ _ _ _ _ _) as [m|] eqn:E7; [|discriminate]. intros [= <-].
  set (z := dual_of (key k) (to_Z unit) logits zh zl). exists z.
  destruct (upward_ok _ _ _ E1) as (_ & U1 & U2). assert (Hz : holds N as_ z).
  { apply duals_ok; [exact U1|]. intros c Lc. destruct (H c Lc) as (? & ? & ? & ? & _).
    repeat split; lia || assumption. }
  destruct (pass_all_ok logits scale k s as_ z Hz _ _ _ _ Hc E7) as [Reads Cells].
  assert (Same : forall i c, i <> k -> dual_at (extended a k z) i c = dual_at a i c).
  { intros i c D. unfold dual_at, extended. destruct (Nat.eqb_spec i k); [easy|reflexivity]. }
  assert (Here : forall c, dual_at (extended a k z) k c = scaled_dual s (z c)).
  { intros c. unfold dual_at, extended. now rewrite Nat.eqb_refl. }
  assert (Zero : forall c, dual_at a k c = 0).
  { intros c. unfold dual_at, scaled_dual. rewrite (b_zero _ _ _ Hb) by lia. lra. }
  assert (Pass : forall j c, passed (extended a k z) j c = passed a j c +
    core_at k j * scaled_dual s (z c)).
  { intros j c. unfold passed. rewrite <- Here.
    apply (over_added n k); [exact Hk|rewrite Zero; lra|]. intros i D. now rewrite Same. }
  assert (Beyond : forall j, (k <= j)%nat -> core_at k j = 0)
    by (intros j Lj; now apply (coef_beyond _ k)).
  assert (Gap : forall (w : nat -> R) c j,
    over n (fun i => Rabs (gap (extended a k z) c j i) * w i) =
    over n (fun i => Rabs (gap a c j i) * w i) +
    Rabs (scaled_dual s (z c) - scaled_dual s (z j)) * w k).
  { intros w c j. rewrite (over_added n k (fun i => Rabs (gap a c j i) * w i)); [|exact Hk| |].
    - f_equal. unfold gap. now rewrite !Here.
    - unfold gap. rewrite !Zero, Rminus_0_r, Rabs_R0. lra.
    - intros i D. unfold gap. now rewrite !Same. }
  split.
  - intros i c Li. unfold extended. destruct (Nat.eqb_spec i k); [lia|]. apply (b_zero _ _ _ Hb).
    lia.
  - intros i j c Li. destruct (Nat.eq_dec i k) as [->|D]; [rewrite (Beyond j Li); lra|].
    rewrite (Same i c D). now apply (b_core _ _ _ Hb).
  - cbn [cells]. revert Cells. apply cells_ext. intros j c _. now rewrite Pass.
  - cbn [sums mass]. assert (T := weighed_ok _ _ _ _ _ _ _ _ _ _ Hz (b_sums _ _ _ Hb) E2 E4).
    revert T. apply table_le. intros c j _ _. right.
    exact (Gap (fun i => real (v_rem (V i) + 2 * v_rho (V i))) c j).
  - cbn [early]. assert (T := book_early_ok logits s as_ z Hz _ _ _ _ (b_early _ _ _ Hb) E6).
    intros q. specialize (T q). revert T. apply table_le. intros c j _ _. right.
    exact (Gap (fun i => coef (v_early (V i)) q) c j).
  - intros c j Lc Lj. cbn [defects].
    assert (Off : forall i, (S k <= i)%nat -> off_at (extended a k z) c j i = off_at a c j i).
    { intros i Li. unfold off_at, gap. rewrite !Pass, !Same, Beyond by lia. ring. }
    rewrite (over_added n k (fun i =>
      if (S k <=? i)%nat then Rabs (off_at a c j i) * real (v_move (V i)) else 0));
      [|exact Hk| |].
    2: { destruct (Nat.leb_spec (S k) k); [lia|reflexivity]. }
    2:
      { intros i D.
      destruct (Nat.leb_spec (S k) i), (Nat.leb_spec k i); try lia; [now rewrite Off|reflexivity]. }
    rewrite Nat.leb_refl. destruct (charge_ok _ _ _ _ E5) as [Ch _].
    assert (Oe : to_Z ((c_off x >> 31) + 3)%uint63 = (to_Z (c_off x) / 2147483648 + 3)%Z).
    { assert (Po := to_Z_bounded (c_off x)).
      assert (Q : (0 <= to_Z (c_off x) / 2147483648 <= 2 ^ 61)%Z).
      { split; [apply Z.div_pos|apply Z.div_le_upper_bound]; lia. }
      apply rep_small; [|lia]. apply rep_plus; [|exact (rep_self 3)].
      replace (to_Z (c_off x) / 2147483648)%Z with (to_Z (c_off x >> 31)%uint63);
        [apply rep_self|now rewrite lsr_spec]. }
    rewrite Ch, Oe, plus_IZR, mult_IZR, Rmult_plus_distr_r.
    apply Rplus_le_compat; [now apply (b_off _ _ _ Hb)|].
    set (D := (to_Z (c_off x) / 2147483648 + 3)%Z).
    assert (Dp : 2 + 2 * (IZR (to_Z (c_off x)) / 2 ^ 32) <= IZR D).
    { assert (Q := Z.mul_succ_div_gt (to_Z (c_off x)) 2147483648 ltac:(lia)). apply IZR_lt in Q.
      rewrite mult_IZR, succ_IZR in Q.
      unfold D. rewrite plus_IZR. lra. }
    (* each class, in units of the grid *)
    assert (Cls : forall i, (i < N)%nat ->
      Rabs ((chosen_at i k + passed a k i) * p2 (36 - s) - IZR (z i)) <= 1 +
      IZR (to_Z (c_off x)) / 2 ^ 32).
    { intros i Li. destruct (H i Li) as (_ & _ & _ & _ & B). fold s in B.
      assert (L := limbs_ok (zh i) (zl i)). cbv zeta in L.
      assert (Un : p2 (36 - s) <= IZR (to_Z unit) < p2 (36 - s) + 1).
      { replace (IZR one * p2 (- (64 + s))) with (p2 (36 - s)) in U2; [exact U2|].
        rewrite one_is. change (2 ^ 100) with (2 ^ 100)%R.
        replace (36 - s)%Z with (Z.of_nat 100 + - (64 + s))%Z by lia. now rewrite p2_plus, p2_nat. }
      unfold z, dual_of, chosen_at. rewrite num_eqb, num_key.
      set (v := IZR (zh i * 65536 + zl i) / 2 ^ 32) in *.
      set (w := passed a k i * p2 (36 - s)) in *.
      assert (W : w - v <= IZR (to_Z (c_off x)) / 2 ^ 32 /\
        - (IZR (to_Z (c_off x)) / 2 ^ 32) <= w - v).
      { revert B. unfold Rabs. destruct Rcase_abs; lra. }
      rewrite plus_IZR, Rmult_plus_distr_r. fold w. apply Rabs_le. destruct (num _ =? k)%nat; lra. }
    assert (Bd : Rabs (off_at (extended a k z) c j k) <= IZR D * p2 (s - 36)).
    { assert (Cc := Cls c ltac:(lia)). assert (Cj := Cls j Lj).
      assert (One : p2 (36 - s) * p2 (s - 36) = 1).
      { rewrite <- p2_plus. replace (36 - s + (s - 36))%Z with 0%Z by lia. reflexivity. }
      replace (off_at (extended a k z) c j k) with
        ((((chosen_at c k + passed a k c) * p2 (36 - s) - IZR (z c)) -
          ((chosen_at j k + passed a k j) * p2 (36 - s) - IZR (z j))) * p2 (s - 36)).
      - rewrite Rabs_mult, (Rabs_pos_eq (p2 (s - 36))) by (apply Rlt_le, p2_pos).
        apply Rmult_le_compat_r; [apply Rlt_le, p2_pos|].
        unfold Rminus at 1. apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. lra.
      - unfold off_at, gap. rewrite !Pass, !Here, Beyond by lia. unfold scaled_dual.
        replace ((((chosen_at c k + passed a k c) * p2 (36 - s) - IZR (z c)) -
          ((chosen_at j k + passed a k j) * p2 (36 - s) - IZR (z j))) * p2 (s - 36)) with
          ((chosen_at c k + passed a k c - (chosen_at j k + passed a k j)) * (p2
            (36 - s) * p2 (s - 36)) -
            (IZR (z c) - IZR (z j)) * p2 (s - 36)) by ring.
        rewrite One. ring. }
    destruct (real_upward _ _ _ E3) as [Mv0 Mv].
    apply Rle_trans with ((IZR D * p2 (s - 36)) * (IZR (to_Z d) * p2 (80 - s - 100))).
    + apply Rmult_le_compat; [apply Rabs_pos|exact Mv0|exact Bd|exact Mv].
    + right. replace (- 56)%Z with ((s - 36) + (80 - s - 100))%Z by lia. rewrite p2_plus. ring.
Qed.
End Visit.

End Pass.

Arguments b_zero {logits scale V n a k st}.
Arguments b_core {logits scale V n a k st}.
Arguments b_cells {logits scale V n a k st}.
Arguments b_sums {logits scale V n a k st}.
Arguments b_early {logits scale V n a k st}.
Arguments b_off {logits scale V n a k st}.
