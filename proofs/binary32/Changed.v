(** * The rounding of a sum whose terms have been changed

    - [worst_shift]: terms, cap and whole that are larger by [d] in all make [worst] larger by [n d]
      at most;
    - [in_range_error]: Sums.v's bound for products and constants, with the cap that bounded_parts
      gives; terms that are exactly 0 do not count;
    - [charge_unfolded], [charge_folded]: [charge], what the checker takes for [n] products with 11
      roundings each beside their sum, is more than what batch normalisation does to it, the second
      order included; [charge_sorted]: for magnitudes in descending order it is the checker's
      number.

    Rests on Layers.v. Stands behind batch normalisation (operations/BatchNormSums.v). *)

From Coq Require Import Reals Lra Lia Psatz List Permutation.
From Flocq.Core Require Import Raux.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
From Lastbit Require Import binary32.Sums binary32.Layers.
Import ListNotations.
Open Scope R_scope.

(** ** The worst tree of changed terms *)

Lemma below_itself l : Forall2 Rle l l.
Proof. induction l; constructor; [lra|assumption]. Qed.

Lemma top_shift l l' : Forall2 Rle l l' -> forall k, top k l' <= top k l + (total l' - total l).
Proof.
  induction 1 as [|x y l l' H F IH]; intros k; [rewrite !top_nil; simpl; lra|].
  assert (T := total_le _ _ F). change (total (y :: l')) with (y + total l').
  change (total (x :: l)) with (x + total l). destruct k; [rewrite !top_0; lra|]. simpl.
  apply Rmax_lub;
    [generalize (IH k) (Rmax_l (x + top k l) (top (S k) l))|generalize (IH (S k))
      (Rmax_r (x + top k l) (top (S k) l))]; simpl; lra.
Qed.

(** Terms, cap and whole larger by [d] in all: every sum is larger by [d] at most. *)
Lemma worst_shift c c' f f' l l' d : Forall2 Rle l l' -> 0 <= d -> total l' - total l <= d ->
  c' <= c + d -> f' <= f + d ->
  worst c' f' l' <= worst c f l + INR (length l) * d.
Proof.
  intros F D0 Ht Hc Hf.
  assert (E : length l = length l')
    by (induction F; simpl; auto; f_equal; apply IHF; simpl in *; lra).
  assert (P := pos_INR (length l)). assert (0 <= INR (length l) * d) by now apply Rmult_le_pos.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite !worst_short by lia; lra|].
  rewrite !worst_long by lia. rewrite <- E.
  assert (K : levels c' (length l - 2) l' <= levels c (length l - 2) l + INR (length l - 2) * d).
  { unfold levels. generalize (length l - 2)%nat.
    induction n as [|n IH]; [unfold over; simpl; lra|]. rewrite !over_S, S_INR.
    assert (T := top_shift l l' F (S (S n))).
    assert (Rmin (top (S (S n)) l') c' <= Rmin (top (S (S n)) l) c + d).
    { rewrite (Rplus_comm _ d). unfold Rmin. repeat destruct Rle_dec; lra. }
    lra. }
  assert (INR (length l - 2) * d + d <= INR (length l) * d).
  { replace (length l) with (S (S (length l - 2))) at 2 by lia. rewrite !S_INR. lra. }
  lra.
Qed.

Lemma worst_mono c c' f f' l l' : c <= c' -> f <= f' -> Forall2 Rle l l' ->
  worst c f l <= worst c' f' l'.
Proof.
  intros Hc Hf F. apply Rle_trans with (worst c f' l'); [now apply worst_le|].
  generalize (worst_shift c' c f' f' l' l' 0 (below_itself l') (Rle_refl 0)). lra.
Qed.

Lemma worst_whole c f a l : 0 <= a -> worst c (f + a) l <= worst c f l + a.
Proof.
  intros Ha.
  destruct (Nat.lt_ge_cases (length l) 2) as [L|L]; [rewrite !worst_short by exact L; lra|].
  rewrite !worst_long by exact L. lra.
Qed.

(** ** A sum that stays in range, with the sharpest caps *)

(** Products with one constant, and numbers. *)
Definition Product (w x : R) : term := ([Times w], x).
Definition Constant (b : R) : term := ([], b).

Lemma exact_product w x : exact (Product w x) = w * x.
Proof. unfold exact, constant. cbn. ring. Qed.
Lemma exact_constant b : exact (Constant b) = b.
Proof. unfold exact, constant. cbn. ring. Qed.

Lemma magnitude_product w x : magnitude (Product w x) = Rabs (w * x).
Proof. unfold magnitude. now rewrite exact_product. Qed.
Lemma magnitude_constant b : magnitude (Constant b) = Rabs b.
Proof. unfold magnitude. now rewrite exact_constant. Qed.
Lemma size_constant b : size [Constant b] = Rabs b.
Proof. unfold size. cbn [map]. rewrite magnitude_constant. cbn. ring. Qed.
Lemma exact_sum_constant b : exact_sum [Constant b] = b.
Proof. unfold exact_sum. cbn [map]. rewrite exact_constant. cbn. ring. Qed.

Definition cap (l : list term) : R := (size l + Rabs (exact_sum l)) / 2.

(** Operands read as 0, and flushes, in a sum. *)
Definition flushes (l : list term) : R := 24 * spread l + 1.

Lemma flushes_pos l : 0 <= flushes l.
Proof. unfold flushes. generalize (spread_pos l). lra. Qed.

(** [z] are terms that are 0. *)
Lemma in_range_error z l v : all_vanish z -> sum (z ++ l) (Finite v) -> in_range 1 1 (z ++ l) ->
  forall k, (S (length l) <= k)%nat ->
  Rabs (v - exact_sum l) <=
  (1 + u) ^ k * (u * (worst (cap l) (Rabs (exact_sum l)) (map magnitude l) + size l) +
    eta * flushes l).
Proof.
  intros Hz H Hr k Hk. assert (Sz := exact_sum_size l). assert (A0 := Rabs_pos (exact_sum l)).
  assert (Hu := u_pos). assert (He := eta_pos).
  assert (Z0 := size_pos l). set (f := Rabs (exact_sum l)) in *.
  destruct (none_left 1 1 (cap l) f z l (vanish_kept z Hz)) as (E1 & E2 & E3).
  assert (C0 : 0 <= cap l) by (unfold cap; fold f; lra).
  assert (Bd : bounded (cap l) (z ++ l)).
  { apply (bounded_parts _ f); [rewrite E2; apply Rle_refl|rewrite E3; unfold cap; fold f; lra]. }
  assert (Ll := kept_length l).
  assert (Nm : nonneg (map magnitude l)).
  { apply Forall_forall. intros x Hx. apply in_map_iff in Hx. destruct Hx as (t & <- & _).
    apply magnitude_pos. }
  assert (W := worst_filter (cap l) f _ C0 A0 Nm). fold (live l) in W.
  destruct (sum_error _ _ H 1%nat 1%nat (cap l) f Hr Bd) as (a & p & E & Ra & Ea);
    [rewrite E2, E3; fold f; lra|].
  injection E as <-. rewrite E1, E2 in Ea.
  replace (v - exact_sum l) with ((v - a) + (a - exact_sum l)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). assert (R := reads_error _ _ Ra).
  assert (Ch : total (map charged l) <= size l).
  { destruct (in_range_app _ _ _ _ Hr) as [_ (F & _)]. generalize (charged_size 1%nat 1%nat l F).
      simpl. lra. }
  unfold error, first_order in Ea. set (n := pred (length (live l))) in *.
  assert (N0 : 0 <= u * (worst (cap l) f (live l) + total (map charged l)) +
    eta * flushed 1 (kept l))
    by exact (first_order_pos 1%nat _ C0 f l A0).
  assert (A := amplify (n + 1) k _ ltac:(unfold n; lia) N0). assert (P := pow_1u k).
  apply Rle_trans with ((1 + u) ^ k * (u * (worst (cap l) f (live l) + total (map charged l)) +
    eta * (flushed 1 (kept l) + 1))).
  { assert (1 * eta <= (1 + u) ^ k * eta) by (apply Rmult_le_compat_r; lra). lra. }
  apply Rmult_le_compat_l; [lra|].
  assert (G := proj2 (flushed_range 1 (kept l))). simpl (INR 2) in G. assert (S := spread_kept l).
  apply Rplus_le_compat; apply Rmult_le_compat_l; try lra. unfold flushes. lra.
Qed.

(** ** What the checker's formula leaves for the second order *)

Lemma seven : (1 + u) ^ 7 - 1 <= 8 * u.
Proof. unfold u. lra. Qed.

Lemma power_near k h : (k <= h)%nat -> INR h * u <= / 2 ^ 9 ->
  (1 + u) ^ k <= 1 + 512 / 511 * (INR h * u) /\ (1 + u) ^ k <= 512 / 511.
Proof.
  intros Hk Hh. assert (Hu := u_pos). assert (P := pos_INR h).
  assert (Q : 0 <= INR h * u) by (apply Rmult_le_pos; lra).
  assert (G := growth_inv k h Hk ltac:(lra)). set (x := INR h * u) in *.
  assert (I : / (1 - x) <= 512 / 511)
    by (replace (512 / 511) with (/ (511 / 512)) by field; apply Rinv_le_contravar; lra).
  split; [|lra]. apply Rle_trans with (1 := G).
  replace (/ (1 - x)) with (1 + x * / (1 - x)) by (field; lra).
  assert (x * / (1 - x) <= x * (512 / 511)) by (apply Rmult_le_compat_l; lra). lra.
Qed.

(** [Layer.rounding] of lastbit_check with [extra = 11]; [12 = 1 + 11]: the bias beside the [n]
    products, and these. *)
Definition charge (n : nat) (W M : R) : R :=
  u * (W + 11 * M + (1 + / 2 ^ 8) * INR (n + 12) ^ 2 * u * M).

Lemma charge_unfolded n k W M : (k <= n + 9)%nat -> INR (n + 12) * u <= / 2 ^ 9 -> 0 <= M ->
  0 <= W <= INR n * M ->
  ((1 + u) ^ 7 - 1) * M + (1 + u) ^ k * (u * (W + 2 * M)) <= charge n W M.
Proof.
  intros Hk Hh HM HW. assert (Hu := u_pos). assert (P := pos_INR n). unfold charge.
  assert (E12 : INR (n + 12) = INR n + 12) by (rewrite plus_INR; simpl; ring).
  assert (E9 : INR (n + 9) = INR n + 9) by (rewrite plus_INR; simpl; ring).
  assert (H9 : INR (n + 9) * u <= / 2 ^ 9).
  { apply Rle_trans with (2 := Hh). rewrite E9, E12. apply Rmult_le_compat_r; lra. }
  destruct (power_near k (n + 9) Hk H9) as [A _]. rewrite E9 in A. rewrite E12.
  set (N := INR n) in *. assert (S7 := Rmult_le_compat_r M _ _ HM seven).
  assert (D : (1 + u) ^ k * (u * (W + 2 * M)) <=
    (1 + 512 / 511 * ((N + 9) * u)) * (u * (W + 2 * M)))
    by (apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|exact A]).
  assert (D2 : (512 / 511 * ((N + 9) * u)) * (u * (W + 2 * M)) <=
    (512 / 511 * ((N + 9) * u)) * (u * ((N + 2) * M))).
  { apply Rmult_le_compat_l; [apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]|].
    apply Rmult_le_compat_l; lra. }
  assert (D3 : 512 / 511 * ((N + 9) * (N + 2)) * (u * u * M) <=
    (1 + / 2 ^ 8) * (N + 12) ^ 2 * (u * u * M)).
  { apply Rmult_le_compat_r; [apply Rmult_le_pos; [nra|exact HM]|]. nra. }
  assert (0 <= u * M) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma charge_folded n k W M V : (k <= n + 2)%nat -> INR (n + 12) * u <= / 2 ^ 9 -> 0 <= M ->
  0 <= V -> 0 <= W <= INR n * M ->
  let D := ((1 + u) ^ 7 - 1) * M + 2 * V in
  D + (1 + u) ^ k * (u * (W + INR (n + 1) * D + (M + D))) <= charge n W M + 3 * V.
Proof.
  intros Hk Hh HM HV HW D. assert (Hu := u_pos). assert (P := pos_INR n). unfold charge.
  assert (E12 : INR (n + 12) = INR n + 12) by (rewrite plus_INR; simpl; ring).
  assert (E2 : INR (n + 2) = INR n + 2) by (rewrite plus_INR; simpl; ring).
  assert (E1 : INR (n + 1) = INR n + 1) by (rewrite plus_INR; simpl; ring).
  assert (H2 : INR (n + 2) * u <= INR (n + 12) * u)
    by (rewrite E2, E12; apply Rmult_le_compat_r; lra).
  destruct (power_near k (n + 2) Hk ltac:(lra)) as [A B]. rewrite E2 in *. rewrite E12 in *.
  rewrite E1. set (N := INR n) in *. assert (S7 := Rmult_le_compat_r M _ _ HM seven).
  set (a := (1 + u) ^ k) in *. assert (A1 : 1 <= a) by apply pow_1u.
  assert (HD : 0 <= D <= 8 * u * M + 2 * V).
  { unfold D. split; [|lra].
    assert (0 <= ((1 + u) ^ 7 - 1) * M)
      by (apply Rmult_le_pos; [generalize (pow_1u 7); lra|exact HM]). lra. }
  clearbody D. assert (U0 : 0 <= u * (N + 2)) by (apply Rmult_le_pos; lra).
  assert (K1 : a * (u * (N + 2) * D) <= 512 / 511 * (u * (N + 2) * D))
    by (apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|exact B]).
  assert (K2 : u * (N + 2) * D <= u * (N + 2) * (8 * u * M + 2 * V))
    by (apply Rmult_le_compat_l; lra).
  assert (K3 : u * (N + 2) * V <= / 2 ^ 9 * V) by (apply Rmult_le_compat_r; lra).
  assert (K4 : a * (u * (W + M)) <= (1 + 512 / 511 * ((N + 2) * u)) * (u * (W + M)))
    by (apply Rmult_le_compat_r; [apply Rmult_le_pos; lra|exact A]).
  assert (K5 : (512 / 511 * ((N + 2) * u)) * (u * (W + M)) <=
    (512 / 511 * ((N + 2) * u)) * (u * ((N + 1) * M))).
  { apply Rmult_le_compat_l; [apply Rmult_le_pos; [lra|apply Rmult_le_pos; lra]|].
    apply Rmult_le_compat_l; lra. }
  assert (K6 : (512 / 511 * ((N + 2) * (N + 1)) + 512 / 511 * 8 * (N + 2)) * (u * u * M) <=
    (1 + / 2 ^ 8) * (N + 12) ^ 2 * (u * u * M)).
  { apply Rmult_le_compat_r; [apply Rmult_le_pos; [nra|exact HM]|]. nra. }
  assert (0 <= u * M) by (apply Rmult_le_pos; lra).
  replace (a * (u * (W + (N + 1) * D + (M + D)))) with (a * (u * (W + M)) + a * (u * (N + 2) * D))
    by ring. lra.
Qed.

Lemma charge_sorted n c f bs m M : Permutation bs m -> nonneg m -> descending m ->
  charge n (worst c f bs) M = charge n (climb c f m) M.
Proof. intros P N D. now rewrite (worst_perm c f _ _ P), worst_sorted. Qed.
