(** * Dual vectors and sums for all pairs of classes, in machine integers

    - [holds a z]: the list [a] stands for the numbers [z] by class;
    - [duals_ok]: the dual vector of a unit, from what has been passed back to it;
    - [table]: sums for pairs of classes are at least given real numbers; [weighed_ok]: and stay so;
    - [highest_ok]: the largest of them.

    Rests on Modular.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool Uint63.
From Lastbit Require Import Statement Totals checker.Numbers fast.Backward fast.Modular.
Import ListNotations.
Open Scope R_scope.

Lemma nth_tl {A} m (l : list A) d : nth m (tl l) d = nth (S m) l d.
Proof. destruct l; [now destruct m|reflexivity]. Qed.
Lemma nth_hd {A} (l : list A) d : hd d l = nth 0 l d.
Proof. now destruct l. Qed.

(** ** Vectors *)

(** The list [a] stands for the numbers [z] of classes 0 to [N - 1]. *)
Definition holds (N : nat) (a : list int) (z : nat -> Z) : Prop :=
  length a = N /\ forall c, (c < N)%nat ->
  rep (nth c a 0%uint63) (z c) /\ (Z.abs (z c) <= 2 ^ 60)%Z.

Lemma along_ok w a s c : nth c (along w a s) 0%uint63 = (nth c s 0 + w * nth c a 0)%uint63.
Proof.
  assert (Z0 : forall x, (x + w * 0)%uint63 = x).
  { intros x. apply to_Z_inj. rewrite add_spec, mul_spec. change (to_Z 0) with 0%Z.
    rewrite Z.mul_0_r, Zmod_0_l, Z.add_0_r. apply Z.mod_small, to_Z_bounded. }
  assert (Z1 : forall x, (0 + x)%uint63 = x).
  { intros x. apply to_Z_inj. rewrite add_spec. apply Z.mod_small, to_Z_bounded. }
  revert s c. induction a as [|x a IH]; intros s c.
  - cbn [along]. destruct c; cbn [nth]; now rewrite Z0.
  - destruct s as [|y s]; destruct c as [|c]; cbn [along nth]; rewrite ?Z1; try reflexivity.
    + rewrite IH. destruct c; now rewrite Z1.
    + apply IH.
Qed.

Lemma most_ok N a z : holds N a z -> (to_Z (most_of a) <= 2 ^ 60)%Z /\
  forall c, (c < N)%nat -> (Z.abs (z c) <= to_Z (most_of a))%Z.
Proof.
  revert N z. induction a as [|x a IH]; intros N z [L H]; cbn [length] in L; subst N.
  - split; [cbn; lia|]. intros c Hc. lia.
  - destruct (IH (length a) (fun c => z (S c))) as [B I].
    { split; [reflexivity|]. intros c Hc. apply (H (S c)). lia. }
    destruct (H 0%nat ltac:(lia)) as [H0 B0]. cbn [nth] in H0. cbn [most_of fold_right].
    fold (most_of a). rewrite larger_ok, (absolute_ok x _ H0) by lia. split; [lia|].
    intros [|c] Hc; [lia|]. specialize (I c ltac:(lia)). cbn beta in I. lia.
Qed.

Lemma duals_nth k unit logits high low c : (c < length logits)%nat ->
  nth c (duals k unit logits high low) 0%uint63 =
  (let x := down 16 (nth c high 0 + down 16 (nth c low 0)) in
   if Pos.eqb (nth c logits 1%positive) k then x + unit else x)%uint63.
Proof.
  revert high low c. induction logits as [|l logits IH]; intros high low c Hc; [cbn in Hc; lia|].
  cbn [duals]. destruct c as [|c]; cbn [nth]; [now rewrite !nth_hd|].
  rewrite IH by (cbn in Hc; lia). now rewrite !nth_tl.
Qed.

Lemma duals_length k unit logits high low : length (duals k unit logits high low) = length logits.
Proof.
  revert high low. induction logits as [|l logits IH]; intros; [reflexivity|]. cbn [duals length].
  now rewrite IH.
Qed.

(** The dual, from the two limbs; rounded down. *)
Definition dual_of (k : positive) (unit : Z) (logits : list positive) (zh zl : nat -> Z) (c : nat) :
  Z :=
  ((zh c + zl c / 65536) / 65536 + if Pos.eqb (nth c logits 1%positive) k then unit else 0)%Z.

Lemma duals_ok k unit logits high low zh zl : (to_Z unit < 2 ^ 56)%Z ->
  (forall c, (c < length logits)%nat -> rep (nth c high 0%uint63) (zh c) /\
    rep (nth c low 0%uint63) (zl c) /\
    (Z.abs (zh c) <= 2 ^ 61)%Z /\ (Z.abs (zl c) <= 2 ^ 61)%Z) ->
  holds (length logits) (duals k unit logits high low) (dual_of k (to_Z unit) logits zh zl).
Proof.
  intros Bu H. split; [apply duals_length|]. intros c Hc. destruct (H c Hc) as (Hh & Hl & Bh & Bl).
  rewrite (duals_nth _ _ _ _ _ _ Hc). cbv zeta. unfold dual_of.
  assert (L : (- 2 ^ 45 <= zl c / 65536 <= 2 ^ 45)%Z).
  { split; [apply Z.div_le_lower_bound|apply Z.div_le_upper_bound]; lia. }
  assert (M : (- 2 ^ 47 <= (zh c + zl c / 65536) / 65536 <= 2 ^ 47)%Z).
  { split; [apply Z.div_le_lower_bound|apply Z.div_le_upper_bound]; lia. }
  assert (R :
    rep (down 16 (nth c high 0 + down 16 (nth c low 0)))%uint63 ((zh c + zl c / 65536) / 65536)).
  { apply down_ok; [apply rep_plus; [exact Hh|apply down_ok; [exact Hl|lia]]|lia]. }
  assert (P := to_Z_bounded unit). destruct (Pos.eqb _ k).
  - split; [apply rep_plus; [exact R|apply rep_self]|lia].
  - rewrite Z.add_0_r. split; [exact R|lia].
Qed.

(** ** Tables *)

Lemma against_nth f x a s m : (m < length a)%nat ->
  nth m (against f x a s) 0%uint63 = (nth m s 0 + distance x (nth m a 0) * f)%uint63.
Proof.
  revert s m. induction a as [|y a IH]; intros s m Hm; [cbn in Hm; lia|]. cbn [against].
  destruct m as [|m]; cbn [nth]; [now rewrite nth_hd|]. rewrite IH by (cbn in Hm; lia).
  now rewrite nth_tl.
Qed.

Lemma weighed_at f a t c j : (c < j)%nat -> (j < length a)%nat ->
  sum_of (weighed f a t) c j = (sum_of t c j + distance (nth c a 0) (nth j a 0) * f)%uint63.
Proof.
  unfold sum_of. revert t c j. induction a as [|x a IH]; intros t c j Hc Hj; [cbn in Hj; lia|].
  destruct j as [|j]; [lia|]. cbn [length] in Hj. cbn [weighed]. destruct c as [|c]; cbn [nth].
  - replace (S j - 1)%nat with j by lia. rewrite against_nth by lia. now rewrite nth_hd.
  - specialize (IH (tl t) c j ltac:(lia) ltac:(lia)). rewrite nth_tl in IH. exact IH.
Qed.

Lemma distance_ok x y a b : rep x a -> rep y b -> (Z.abs a <= 2 ^ 60)%Z -> (Z.abs b <= 2 ^ 60)%Z ->
  (to_Z (distance x y) = (Z.abs (a - b) + 63) / 64)%Z.
Proof.
  intros Hx Hy Ba Bb. unfold distance. rewrite lsr_spec. change (2 ^ to_Z 6)%Z with 64%Z. f_equal.
  assert (A := absolute_ok (x - y)%uint63 (a - b) (rep_minus _ _ _ _ Hx Hy) ltac:(lia)).
  rewrite <- A. apply rep_small; [apply rep_plus; [apply rep_self|exact (rep_self 63)]|lia].
Qed.

Lemma spread_ok a : (to_Z (most_of a) <= 2 ^ 60)%Z ->
  to_Z (spread a) = (to_Z (most_of a) / 32 + 2)%Z.
Proof.
  intros B. unfold spread. assert (P := to_Z_bounded (most_of a)). apply rep_small.
  - apply rep_plus; [|exact (rep_self 2)].
    replace (to_Z (most_of a) / 32)%Z with (to_Z (most_of a >> 5)%uint63); [apply rep_self|].
    now rewrite lsr_spec.
  - assert (0 <= to_Z (most_of a) / 32 <= 2 ^ 60)%Z
      by (split; [apply Z.div_pos|apply Z.div_le_upper_bound]; lia). lia.
Qed.

(** [t] has at least [b] for classes c < j, over [2^56]; [u] bounds all of it. *)
Definition table (N : nat) (t : list (list int)) (u : int) (b : nat -> nat -> R) : Prop :=
  forall c j, (c < j)%nat -> (j < N)%nat ->
    (to_Z (sum_of t c j) <= to_Z u)%Z /\ b c j <= IZR (to_Z (sum_of t c j)) * p2 (- 56).

Lemma sum_empty c j : sum_of [] c j = 0%uint63.
Proof. unfold sum_of. now destruct c; destruct (j - _)%nat. Qed.

Lemma table_empty N u : table N [] u (fun _ _ => 0).
Proof.
  intros c j _ _. rewrite sum_empty. change (to_Z 0) with 0%Z. split; [apply to_Z_bounded|lra].
Qed.

Lemma weighed_ok N a z s t u b f w u' : holds N a z -> table N t u b ->
  upward w (74 - s) = Some f ->
  charge u (spread a) f = Some u' ->
  table N (weighed f a t) u' (fun c j =>
    b c j + Rabs (IZR (z c) * p2 (s - 36) - IZR (z j) * p2 (s - 36)) * real w).
Proof.
  intros Ha Ht Hf Hu c j Hc Hj. destruct (Ht c j Hc Hj) as [T1 T2].
  destruct (upward_ok _ _ _ Hf) as (W & _ & F & _). destruct (charge_ok _ _ _ _ Hu) as [U B].
  destruct (most_ok N a z Ha) as [M1 M2]. destruct Ha as [L Ha].
  destruct (Ha c ltac:(lia)) as [Rc Bc]. destruct (Ha j Hj) as [Rj Bj]. rewrite weighed_at by lia.
  assert (D := distance_ok _ _ _ _ Rc Rj Bc Bj). set (d := distance _ _) in *.
  assert (Mc := M2 c ltac:(lia)). assert (Mj := M2 j Hj). rewrite (spread_ok a M1) in U.
  set (m := to_Z (most_of a)) in *. assert (Dm : (to_Z d <= m / 32 + 2)%Z).
  { rewrite D. apply Z.div_le_upper_bound; [lia|]. assert (Q := Z.mul_succ_div_gt m 32 ltac:(lia)).
    lia. }
  assert (D1 : (Z.abs (z c - z j) <= 64 * to_Z d)%Z).
  { rewrite D. assert (Q := Z.mul_succ_div_gt (Z.abs (z c - z j) + 63) 64 ltac:(lia)). lia. }
  assert (Fp := to_Z_bounded f). assert (Dp := to_Z_bounded d).
  assert (Sp := to_Z_bounded (sum_of t c j)).
  assert (P : (to_Z d * to_Z f <= (m / 32 + 2) * to_Z f)%Z) by (apply Z.mul_le_mono_nonneg_r; lia).
  assert (E : to_Z (sum_of t c j + d * f)%uint63 = (to_Z (sum_of t c j) + to_Z d * to_Z f)%Z).
  { apply rep_small; [reps|]. assert (0 <= to_Z d * to_Z f)%Z by (apply Z.mul_nonneg_nonneg; lia).
    lia. }
  rewrite E. split; [lia|]. rewrite plus_IZR, mult_IZR, Rmult_plus_distr_r.
  apply Rplus_le_compat; [exact T2|].
  rewrite <- Rmult_minus_distr_r, Rabs_mult, (Rabs_pos_eq _ (Rlt_le _ _ (p2_pos (s - 36)))),
    <- minus_IZR, <- abs_IZR.
  apply IZR_le in D1. rewrite mult_IZR in D1. assert (P1 := p2_pos (s - 36)).
  assert (P2 := p2_pos (- (74 - s))). assert (W' := real_pos w W). unfold real in *.
  replace (p2 (- 56)) with (64 * p2 (s - 36) * (p2 (- (- (74 - s))) / 2 ^ 100)).
  2: { replace (- 56)%Z with (6 + ((s - 36) + (- (- (74 - s)) + - 100)))%Z by lia. rewrite !p2_plus.
       change (p2 6) with (2 * (2 * (2 * (2 * (2 * (2 * 1)))))).
       change (p2 (-100)) with (/ 2 ^ 100). field. }
  assert (F2 : IZR w <= IZR (to_Z f) * p2 (- (- (74 - s)))).
  { assert (Q := p2_opp (- (74 - s))). set (x := p2 (- (- (74 - s)))) in *.
    assert (X := p2_pos (- (- (74 - s)))). fold x in X. apply (Rmult_le_compat_r x) in F; [|lra].
    rewrite Rmult_assoc, (Rmult_comm _ x), Q in F. lra. }
  set (x := p2 (- (- (74 - s)))) in *.
  apply Rle_trans with ((64 * IZR (to_Z d) * p2 (s - 36)) * (IZR (to_Z f) * x / 2 ^ 100));
    [|right; field].
  apply Rmult_le_compat;
    [apply Rmult_le_pos; [apply IZR_le; lia|lra]|exact W'|apply Rmult_le_compat_r; lra|lra].
Qed.

Lemma highest_ok N s t c j : (c < j)%nat -> (j < N)%nat ->
  (to_Z (sum_of s c j) + to_Z (sum_of t c j) <= highest N s t)%Z.
Proof.
  intros Hc Hj. assert (I := in_pairs N j c ltac:(lia) Hj). unfold highest. revert I.
  induction (Program.pairs N) as [|x l IH]; [easy|].
  intros [->|I]; cbn [fold_right fst snd]; [lia|]. specialize (IH I). lia.
Qed.

Lemma highest_pos N s t : (0 <= highest N s t)%Z.
Proof. unfold highest. induction (Program.pairs N) as [|x l IH]; cbn [fold_right]; lia. Qed.
