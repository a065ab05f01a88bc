(** * Factors, and products of constants that round

    - [near k C r]: [r] is [C] but for [k] roundings, each within [u]; [near_product],
      [near_inverse]: roundings add up, and those of a divisor count twice;
    - [tame fs]: one constant to multiply with, or factors whose products, all together or some of
      them, lie between 2^-120 and 2^120, so that nothing overflows or underflows;
    - [over_times], [inside_times]: dividing by constants, and their product.

    Rests on Terms.v. The lemma on [(1 + u)^h] is Higham's (Accuracy and Stability of Numerical
    Algorithms, 2nd ed., lemma 3.1). *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.Terms.
Import ListNotations.
Open Scope R_scope.

(** ** Errors of errors *)

Lemma growth h : INR h * u < 1 -> (1 + u) ^ h * (1 - INR h * u) <= 1.
Proof.
  assert (Hu := u_pos). intros H. induction h as [|h IH]; [simpl; lra|].
  rewrite S_INR in *. assert (P := pow_1u h).
  apply Rle_trans with ((1 + u) ^ h * (1 - INR h * u)); [|apply IH; lra].
  change ((1 + u) ^ S h) with ((1 + u) * (1 + u) ^ h).
  replace ((1 + u) * (1 + u) ^ h * (1 - (INR h + 1) * u)) with
    ((1 + u) ^ h * (1 - INR h * u - u * u * (INR h + 1))) by ring.
  apply Rmult_le_compat_l; [lra|]. generalize (pos_INR h). intros.
  assert (0 <= u * u * (INR h + 1)) by (repeat apply Rmult_le_pos; lra). lra.
Qed.

Lemma growth_inv n h : (n <= h)%nat -> INR h * u < 1 -> (1 + u) ^ n <= / (1 - INR h * u).
Proof.
  intros Hn Hh. apply Rle_trans with ((1 + u) ^ h).
  - apply Rle_pow; [generalize u_pos; lra|exact Hn].
  - apply (Rmult_le_reg_r (1 - INR h * u)); [lra|]. rewrite Rinv_l by lra. now apply growth.
Qed.

Lemma growth_half k : INR k <= 2 ^ 22 -> (1 + u) ^ k <= 4 / 3.
Proof.
  intros H. assert (Hu := u_pos). assert (U : u = / 2 ^ 24) by reflexivity.
  assert (K : INR k * u <= / 4) by (rewrite U; lra).
  apply Rle_trans with (1 := growth_inv k k (le_n k) ltac:(lra)).
  replace (4 / 3) with (/ (3 / 4)) by field. apply Rinv_le_contravar; lra.
Qed.

(** [k] roundings. *)
Definition near (k : nat) (C r : R) : Prop := Rabs (r - C) <= ((1 + u) ^ k - 1) * Rabs C.

Lemma near_itself C : near 0 C C.
Proof. unfold near. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. rewrite pow_O. lra. Qed.

Lemma near_more k k' C r : (k <= k')%nat -> near k C r -> near k' C r.
Proof.
  intros L H. apply Rle_trans with (1 := H). apply Rmult_le_compat_r; [apply Rabs_pos|].
  assert ((1 + u) ^ k <= (1 + u) ^ k') by (apply Rle_pow; [generalize u_pos; lra|exact L]). lra.
Qed.

Lemma near_abs k C r : near k C r -> Rabs r <= (1 + u) ^ k * Rabs C.
Proof.
  intros H. replace r with ((r - C) + C) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
  unfold near in H. lra.
Qed.

Lemma near_low k C r : near k C r -> (2 - (1 + u) ^ k) * Rabs C <= Rabs r.
Proof.
  intros H. unfold near in H. rewrite Rabs_minus_sym in H. assert (T := Rabs_triang (C - r) r).
  replace (C - r + r) with C in T by ring. lra.
Qed.

Lemma near_product k1 k2 C1 C2 r1 r2 : near k1 C1 r1 -> near k2 C2 r2 ->
  near (k1 + k2) (C1 * C2) (r1 * r2).
Proof.
  intros H1 H2. assert (A := near_abs _ _ _ H2). unfold near in *. rewrite pow_add, Rabs_mult.
  replace (r1 * r2 - C1 * C2) with ((r1 - C1) * r2 + C1 * (r2 - C2)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite !Rabs_mult.
  set (a := (1 + u) ^ k1) in *. set (b := (1 + u) ^ k2) in *. assert (A1 : 1 <= a) by apply pow_1u.
  assert (Rabs (r1 - C1) * Rabs r2 <= ((a - 1) * Rabs C1) * (b * Rabs C2)).
  { apply Rmult_le_compat; auto using Rabs_pos. }
  assert (Rabs C1 * Rabs (r2 - C2) <= Rabs C1 * ((b - 1) * Rabs C2)) by (apply Rmult_le_compat_l;
    auto using Rabs_pos).
  lra.
Qed.

Lemma near_round k C t r : near k C t -> Rabs (r - t) <= u * Rabs t -> near (S k) C r.
Proof.
  intros H E. assert (A := near_abs _ _ _ H). unfold near in *.
  change ((1 + u) ^ S k) with ((1 + u) * (1 + u) ^ k).
  replace (r - C) with ((r - t) + (t - C)) by ring. apply Rle_trans with (1 := Rabs_triang _ _).
  assert (u * Rabs t <= u * ((1 + u) ^ k * Rabs C)) by (apply Rmult_le_compat_l;
    [apply Rlt_le, u_pos|exact A]). lra.
Qed.

Lemma near_inverse k C r : C <> 0 -> near k C r -> INR k <= 2 ^ 22 -> near (2 * k) (/ C) (/ r).
Proof.
  intros N H Hk. assert (G := growth_half k Hk). assert (Lo := near_low _ _ _ H).
  assert (P := Rabs_pos_lt C N).
  unfold near in *. replace (2 * k)%nat with (k + k)%nat by lia. rewrite pow_add.
  set (a := (1 + u) ^ k) in *.
  assert (A1 : 1 <= a) by apply pow_1u.
  assert (L3 : 0 < (2 - a) * Rabs C) by (apply Rmult_lt_0_compat; lra).
  assert (Nr : r <> 0) by (intros ->; rewrite Rabs_R0 in Lo; lra).
  replace (/ r - / C) with ((C - r) * (/ C * / r)) by (field; split; assumption).
  rewrite !Rabs_mult, !Rabs_inv, (Rabs_minus_sym C r).
  apply Rle_trans with ((a - 1) * Rabs C * (/ Rabs C * / ((2 - a) * Rabs C))).
  - apply Rmult_le_compat; [apply Rabs_pos| |exact H|].
    + apply Rlt_le, Rmult_lt_0_compat; apply Rinv_0_lt_compat; lra.
    + apply Rmult_le_compat_l; [apply Rlt_le, Rinv_0_lt_compat; lra|].
      apply Rinv_le_contravar; assumption.
  - replace ((a - 1) * Rabs C * (/ Rabs C * / ((2 - a) * Rabs C)))
      with ((a - 1) * / (2 - a) * / Rabs C) by (field; lra).
    apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra|].
    apply (Rmult_le_reg_r (2 - a)); [lra|]. rewrite Rmult_assoc, Rinv_l by lra.
    assert (0 <= (a - 1) * (a - a * a + 1)).
    { apply Rmult_le_pos; [lra|]. assert (a * a <= a * (4 / 3)) by (apply Rmult_le_compat_l;
        lra). lra. }
    lra.
Qed.

Lemma normal_rounds t v : rounds t v -> eta <= Rabs t <= largest -> exists r, v = Finite r /\
  Rabs (r - t) <= u * Rabs t.
Proof. intros H [L U]. destruct (H U) as (r & -> & [E|[E _]]); [now exists r|lra]. Qed.

Lemma normal_shifts t v : shifts t v -> eta <= Rabs t <= largest -> v = Finite t.
Proof. intros H [L U]. destruct (H U) as (r & -> & [->|[E _]]); [reflexivity|lra]. Qed.

Lemma normal_reads x x' : eta < Rabs x -> reads x x' -> x' = x.
Proof. intros H [E|[_ E]]; [exact E|lra]. Qed.

(** ** Factors in range *)

(** No product of some of the factors is smaller, if none is 0. *)
Definition least_of (f : factor) : R := if Req_EM_T (number f) 0 then
  1 else Rmin 1 (Rabs (number f)).
Definition least (fs : list factor) : R := fold_right Rmult 1 (map least_of fs).

Definition inside (fs : list factor) : Prop :=
  ~ In (Over 0) fs /\ / 2 ^ 120 <= least fs /\ room fs <= 2 ^ 120 /\ INR (length fs) <= 2 ^ 20.

Definition tame (fs : list factor) : Prop := fs = [] \/ (exists c, fs = [Times c]) \/ inside fs.

Lemma least_of_range f : 0 < least_of f <= 1.
Proof.
  unfold least_of. destruct Req_EM_T as [E|E]; [lra|]. apply Rabs_pos_lt in E.
  split; [apply Rmin_glb_lt; lra|apply Rmin_l].
Qed.

Lemma least_range fs : 0 < least fs <= 1.
Proof.
  unfold least. induction fs as [|f fs [I1 I2]]; cbn [map fold_right]; [lra|].
  destruct (least_of_range f) as [F1 F2].
  split; [now apply Rmult_lt_0_compat|].
  apply Rle_trans with (1 * 1); [apply Rmult_le_compat; lra|lra].
Qed.

Lemma least_app fs gs : least (fs ++ gs) = least fs * least gs.
Proof. unfold least. induction fs as [|f fs IH]; simpl; [ring|]. rewrite IH. ring. Qed.

Lemma least_constant fs : ~ In (Times 0) fs -> ~ In (Over 0) fs -> least fs <= Rabs (constant fs).
Proof.
  unfold least, constant. induction fs as [|f fs IH]; cbn [map fold_right]; intros N1 N2;
    [rewrite Rabs_R1; lra|].
  rewrite Rabs_mult. destruct (least_of_range f) as [F1 F2]. assert (L := least_range fs).
  unfold least in L.
  apply Rmult_le_compat; [lra|lra| |apply IH; intros H; [apply N1|apply N2]; now right].
  unfold least_of. destruct Req_EM_T as [E|E]; [|apply Rmin_r]. exfalso.
  destruct f as [c|c]; cbn [number] in E.
  - apply N1. left. now subst.
  - destruct (Req_dec c 0) as [->|Nc]; [apply N2; now left|]. now apply Rinv_neq_0_compat in Nc.
Qed.

Lemma inside_app fs gs : inside (fs ++ gs) -> inside fs /\ inside gs.
Proof.
  intros (H1 & H2 & H3 & H4). rewrite least_app in H2. rewrite room_app in H3.
  rewrite length_app, plus_INR in H4.
  assert (F := least_range fs). assert (G := least_range gs). assert (A := room_1 fs).
  assert (B := room_1 gs).
  assert (P := pos_INR (length fs)). assert (Q := pos_INR (length gs)).
  split; (split; [intros I; apply H1, in_or_app; tauto|]); (split; [|split; [|lra]]).
  - assert (least fs * least gs <= least fs * 1) by (apply Rmult_le_compat_l; lra). lra.
  - assert (room fs * 1 <= room fs * room gs) by (apply Rmult_le_compat_l; lra). lra.
  - assert (least fs * least gs <= 1 * least gs) by (apply Rmult_le_compat_r; lra). lra.
  - assert (1 * room gs <= room fs * room gs) by (apply Rmult_le_compat_r; lra). lra.
Qed.

Lemma inside_perm fs gs : Permutation fs gs -> inside fs -> inside gs.
Proof.
  intros P (H1 & H2 & H3 & H4). destruct (factors_perm _ _ P) as (_ & _ & E3 & E4). unfold inside.
  rewrite <- E3, <- E4. split; [|split; [|now split]].
  - intros I. apply H1. now apply Permutation_in with (1 := Permutation_sym P).
  - assert (E : least fs = least gs); [|now rewrite <- E]. unfold least.
    clear -P. induction P; cbn [map fold_right]; [reflexivity|now rewrite IHP|ring
      |now rewrite IHP1].
Qed.

Lemma tame_app fs gs : tame (fs ++ gs) -> tame fs /\ tame gs.
Proof.
  intros [E|[[c E]|H]].
  - apply app_eq_nil in E. destruct E as [-> ->]. split; now left.
  - apply app_eq_unit in E. destruct E as [[-> ->]|[-> ->]]; split; try (now left); right; left;
      now exists c.
  - apply inside_app in H. split; now right; right.
Qed.

Lemma tame_perm fs gs : Permutation fs gs -> tame fs -> tame gs.
Proof.
  intros P [->|[[c ->]|H]].
  - apply Permutation_nil in P. subst. now left.
  - apply Permutation_length_1_inv in P. subst. right. left. now exists c.
  - right. right. now apply inside_perm with fs.
Qed.

(** Not one constant alone. *)
Lemma tame_inside fs gs : fs <> [] -> gs <> [] -> tame (fs ++ gs) -> inside (fs ++ gs).
Proof.
  intros F G [E|[[c E]|H]]; [| |exact H].
  - now apply app_eq_nil in E.
  - apply app_eq_unit in E. destruct E as [[E _]|[_ E]]; contradiction.
Qed.

Lemma tame_over cs : cs <> [] -> tame (map Over cs) -> inside (map Over cs).
Proof.
  destruct cs as [|c cs]; [easy|]. intros _ [E|[[d E]|H]]; [discriminate|discriminate|exact H].
Qed.

(** Of divisors and of the numbers that they are. *)
(** Larger than 1, or its inverse is. *)
Lemma ends_meet c : c <> 0 -> Rmax 1 (Rabs c) * Rmin 1 (Rabs (/ c)) = 1.
Proof.
  intros Nc. rewrite Rabs_inv. apply Rabs_pos_lt in Nc. destruct (Rle_or_lt (Rabs c) 1) as [L|L].
  - rewrite Rmax_left, Rmin_left; [ring| |exact L].
    apply Rle_trans with (/ 1); [lra|now apply Rinv_le_contravar].
  - rewrite Rmax_right, Rmin_right; [field; lra| |lra].
    apply Rle_trans with (/ 1); [apply Rinv_le_contravar; lra|lra].
Qed.

Lemma over_times cs : ~ In 0 cs ->
  constant (map Over cs) = / constant (map Times cs) /\
    cost (map Over cs) = (2 * cost (map Times cs))%nat /\
  room (map Times cs) * least (map Over cs) = 1 /\ least (map Times cs) * room (map Over cs) = 1.
Proof.
  induction cs as [|c cs IH]; intros N; [unfold constant, room, least; simpl; repeat split; lra|].
  assert (Nc : c <> 0) by (intros E; apply N; now left). assert (Nr := Rinv_neq_0_compat c Nc).
  destruct IH as (I1 & I2 & I3 & I4); [intros I; apply N; now right|]. split; [|split; [|split]].
  - unfold constant in *. cbn [map fold_right number]. rewrite I1, Rinv_mult. reflexivity.
  - unfold cost in *. cbn [map list_sum fold_right cost_of]. unfold list_sum in *. rewrite I2.
    destruct (scales c); lia.
  - clear I4. unfold room, least in *. cbn [map fold_right]. unfold least_of at 1. cbn [number].
    destruct Req_EM_T as [E|_]; [contradiction|].
    set (R1 := fold_right Rmult 1 (map _ (map Times cs))) in *.
    set (L1 := fold_right Rmult 1 (map _ (map Over cs))) in *.
    replace (Rmax 1 (Rabs c) * R1 * (Rmin 1 (Rabs (/ c)) * L1))
      with (Rmax 1 (Rabs c) * Rmin 1 (Rabs (/ c)) * (R1 * L1)) by ring.
    now rewrite I3, Rmult_1_r, ends_meet.
  - clear I3. unfold room, least in *. cbn [map fold_right]. unfold least_of at 1. cbn [number].
    destruct Req_EM_T as [E|_]; [contradiction|].
    set (R1 := fold_right Rmult 1 (map _ (map Times cs))) in *.
    set (L1 := fold_right Rmult 1 (map _ (map Over cs))) in *.
    replace (Rmin 1 (Rabs c) * R1 * (Rmax 1 (Rabs (/ c)) * L1))
      with (Rmin 1 (Rabs c) * Rmax 1 (Rabs (/ c)) * (R1 * L1)) by ring.
    rewrite I4, Rmult_1_r, Rmult_comm. now rewrite <- (Rinv_inv c) at 2; apply ends_meet.
Qed.

Lemma over_zero cs : ~ In (Over 0) (map Over cs) -> ~ In 0 cs.
Proof. intros H I. apply H. now apply in_map. Qed.

Lemma inside_times cs : inside (map Over cs) -> inside (map Times cs).
Proof.
  intros (H1 & H2 & H3 & H4). destruct (over_times cs (over_zero cs H1)) as (_ & _ & E3 & E4).
  unfold inside. rewrite length_map in *.
  split; [intros I; apply in_map_iff in I; now destruct I as (c & E & _)|].
  split; [|split; [|exact H4]].
  - assert (A := room_1 (map Over cs)). apply (Rmult_le_reg_r (room (map Over cs))); [lra|].
    rewrite E4.
    apply Rle_trans with (/ 2 ^ 120 * 2 ^ 120); [apply Rmult_le_compat_l; lra|lra].
  - destruct (least_range (map Over cs)) as [A _].
    apply (Rmult_le_reg_r (least (map Over cs))); [exact A|]. rewrite E3.
    apply Rle_trans with (2 ^ 120 * / 2 ^ 120); [lra|apply Rmult_le_compat_l; lra].
Qed.
