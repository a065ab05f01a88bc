(** * Constants that are multiplied and divided by each other beforehand

    - [folds_near]: what comes of tame factors is 0 if one of them is, and else has one rounding
      less than their cost; none at all, and is a power of two, if they are all powers of two;
    - [folds_over]: likewise the reciprocal of a folded divisor.

    Rests on Folds.v. Sums.v uses it for constants that multiply or divide numbers and partial
    sums. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.Terms binary32.Folds.
Import ListNotations.
Open Scope R_scope.

Lemma power_product a b : power_of_two a -> power_of_two b -> power_of_two (a * b).
Proof.
  intros [j Hj] [k Hk]. exists (j + k)%Z. rewrite Rabs_mult, Hj, Hk, powerRZ_add by lra.
  reflexivity.
Qed.

Lemma power_inverse a : power_of_two a -> power_of_two (/ a).
Proof. intros [j Hj]. exists (- j)%Z. rewrite Rabs_inv, Hj. symmetry. apply powerRZ_neg'. Qed.

Lemma power_0 : ~ power_of_two 0.
Proof. intros [j Hj]. rewrite Rabs_R0 in Hj. assert (P := powerRZ_lt 2 j ltac:(lra)). lra. Qed.

Lemma power_1 : power_of_two 1.
Proof. exists 0%Z. rewrite Rabs_R1. reflexivity. Qed.

(** Neither 0 nor far from 1. *)
Definition middling (x : R) : Prop := / 2 ^ 123 <= Rabs x <= 2 ^ 123.

Lemma middling_normal x : middling x -> eta < Rabs x <= largest.
Proof. unfold middling, eta, largest. lra. Qed.

Lemma middling_near k C r : near k C r -> / 2 ^ 120 <= Rabs C <= 2 ^ 120 -> INR k <= 2 ^ 22 ->
  middling r.
Proof.
  intros H HC Hk. assert (G := growth_half k Hk). assert (A := near_abs _ _ _ H).
  assert (B := near_low _ _ _ H).
  assert (P := pow_1u k). unfold middling. split.
  - apply Rle_trans with (2 := B). apply Rle_trans with (2 / 3 * / 2 ^ 120); [lra|].
    apply Rmult_le_compat; lra.
  - apply Rle_trans with (1 := A). apply Rle_trans with (4 / 3 * 2 ^ 120); [|lra].
    apply Rmult_le_compat; lra.
Qed.

Lemma cost_length fs : (cost fs <= 2 * length fs)%nat.
Proof.
  unfold cost. induction fs as [|f fs IH]; [apply le_n|]. cbn [map list_sum fold_right length].
  unfold list_sum in IH.
  destruct f; cbn [cost_of]; destruct (scales _); lia.
Qed.

Lemma inside_cost fs : inside fs -> INR (cost fs) <= 2 ^ 21.
Proof.
  intros (_ & _ & _ & H). apply Rle_trans with (INR (2 * length fs)); [apply le_INR, cost_length|].
  rewrite mult_INR. simpl (INR 2). lra.
Qed.

Lemma inside_range fs : inside fs -> ~ In (Times 0) fs ->
  / 2 ^ 120 <= Rabs (constant fs) <= 2 ^ 120.
Proof.
  intros (H1 & H2 & H3 & _) H. split.
  - apply Rle_trans with (1 := H2). now apply least_constant.
  - apply Rle_trans with (2 := H3). apply constant_room.
Qed.

(** What [v] is, of the factors [fs]. *)
Definition folded (fs : list factor) (v : value) : Prop :=
  (In (Times 0) fs -> v = Finite 0) /\
  (~ In (Times 0) fs -> exists r, v = Finite r /\ near (pred (cost fs)) (constant fs) r /\
    (cost fs = 0%nat -> r = constant fs /\ power_of_two r)).

Lemma zero_in fs : In (Times 0) fs \/ ~ In (Times 0) fs.
Proof.
  induction fs as [|f fs IH]; [now right|]. destruct f as [c|c].
  - destruct (Req_dec c 0) as [->|N]; [left; now left|].
    destruct IH as [I|I]; [left; now right|right].
    intros [E|K]; [injection E as E; contradiction|contradiction].
  - destruct IH as [I|I]; [left; now right|right]. intros [E|K]; [discriminate|contradiction].
Qed.

Lemma folded_finite fs v : folded fs v -> exists r, v = Finite r.
Proof.
  intros [H1 H2]. destruct (zero_in fs) as [I|I]; [exists 0; now apply H1|].
  destruct (H2 I) as (r & E & _). now exists r.
Qed.

Lemma constant_zero fs : In (Times 0) fs -> constant fs = 0.
Proof.
  unfold constant. induction fs as [|f fs IH]; [easy|].
  intros [->|I]; cbn [map fold_right]; [cbn; ring|].
  rewrite IH by exact I. ring.
Qed.

Lemma cost_in c fs : In (Times c) fs -> cost fs = 0%nat -> scales c = true.
Proof.
  unfold cost. induction fs as [|f fs IH]; [easy|]. cbn [map list_sum fold_right].
  unfold list_sum in IH.
  intros [->|I] H; [|apply IH; [exact I|lia]]. cbn [cost_of] in H.
  destruct (scales c); [reflexivity|lia].
Qed.

Lemma product_folded fs gs a b v : inside (fs ++ gs) -> folded fs a -> folded gs b ->
  multiplies a b v -> multiplies b a v -> folded (fs ++ gs) v.
Proof.
  intros In' Fa Fb M1 M2. destruct (inside_app _ _ In') as [If Ig].
  destruct (folded_finite _ _ Fa) as (x & Ex). destruct (folded_finite _ _ Fb) as (y & Ey).
  destruct (M1 x y Ex Ey) as (x' & y' & Rx & Ry & Rn & S1).
  destruct (M2 y x Ey Ex) as (y2 & x2 & Ry2 & Rx2 & _ & S2). split.
  - intros I. apply rounds_0. replace 0 with (x' * y'); [exact Rn|]. apply in_app_or in I.
    destruct I as [I|I].
    + rewrite (proj1 Fa I) in Ex. injection Ex as <-. rewrite (reads_0 _ Rx). ring.
    + rewrite (proj1 Fb I) in Ey. injection Ey as <-. rewrite (reads_0 _ Ry). ring.
  - intros N. assert (Nf : ~ In (Times 0) fs) by (intros K; apply N, in_or_app; tauto).
    assert (Ng : ~ In (Times 0) gs) by (intros K; apply N, in_or_app; tauto).
    destruct (proj2 Fa Nf) as (r1 & E1 & H1 & P1). destruct (proj2 Fb Ng) as (r2 & E2 & H2 & P2).
    rewrite Ex in E1. injection E1 as <-. rewrite Ey in E2. injection E2 as <-.
    assert (C1 := inside_cost _ If). assert (C2 := inside_cost _ Ig).
    assert (K1 : INR (pred (cost fs)) <= 2 ^ 21) by (apply Rle_trans with (2 := C1), le_INR; lia).
    assert (K2 : INR (pred (cost gs)) <= 2 ^ 21) by (apply Rle_trans with (2 := C2), le_INR; lia).
    destruct (middling_normal _ (middling_near _ _ _ H1 (inside_range _ If Nf) ltac:(lra))) as [L1
      _].
    destruct (middling_normal _ (middling_near _ _ _ H2 (inside_range _ Ig Ng) ltac:(lra))) as [L2
      _].
    rewrite (normal_reads _ _ L1 Rx), (normal_reads _ _ L2 Ry) in *.
    rewrite (normal_reads _ _ L1 Rx2), (normal_reads _ _ L2 Ry2), Rmult_comm in S2.
    assert (T := near_product _ _ _ _ _ _ H1 H2). rewrite <- constant_app in T.
    assert (Kt : INR (pred (cost fs) + pred (cost gs)) <= 2 ^ 22) by (rewrite plus_INR; lra).
    destruct (middling_normal _ (middling_near _ _ _ T (inside_range _ In' N) Kt)) as [T1 T2].
    rewrite cost_app.
    destruct (cost fs) as [|j] eqn:Cf.
    { destruct (P1 eq_refl) as [-> Q1]. exists (constant fs * y).
      assert (V := normal_shifts _ _ (S1 Q1) (conj (Rlt_le _ _ T1) T2)).
      split; [exact V|]. split; [exact T|]. intros Z. destruct (P2 Z) as [-> Q2].
      split; [now rewrite constant_app|now apply power_product]. }
    destruct (cost gs) as [|k] eqn:Cg.
    { destruct (P2 eq_refl) as [-> Q2]. exists (x * constant gs).
      assert (V := normal_shifts _ _ (S2 Q2) (conj (Rlt_le _ _ T1) T2)). split; [exact V|].
      split; [|discriminate].
      apply near_more with (2 := T). simpl. lia. }
    destruct (normal_rounds _ _ Rn (conj (Rlt_le _ _ T1) T2)) as (r & Er & Br). exists r.
    split; [exact Er|]. split; [|discriminate].
    apply near_more with (2 := near_round _ _ _ _ T Br). simpl. lia.
Qed.

(** A folded divisor, before and after its reciprocal is taken. *)
Lemma divisor_folded cs d : cs <> [] -> inside (map Over cs) -> folded (map Times cs) d ->
  exists y, d = Finite y /\ eta < Rabs y /\
    near (pred (cost (map Over cs))) (constant (map Over cs)) (/ y) /\
    (cost (map Over cs) <> 0%nat -> (2 <= cost (map Over cs))%nat /\
      near (pred (pred (cost (map Over cs)))) (constant (map Over cs)) (/ y)) /\
    (cost (map Over cs) = 0%nat -> / y = constant (map Over cs) /\ power_of_two y).
Proof.
  intros Nc I F. assert (N0 := over_zero cs (proj1 I)).
  destruct (over_times cs N0) as (E1 & E2 & _ & _).
  assert (It := inside_times cs I).
  assert (Nt : ~ In (Times 0) (map Times cs)).
  { intros K. apply in_map_iff in K. destruct K as (c & K1 & K2). injection K1 as ->.
      contradiction. }
  destruct (proj2 F Nt) as (y & -> & H & P). assert (C := inside_cost _ It).
  assert (Rg := inside_range _ It Nt).
  assert (K : INR (pred (cost (map Times cs))) <= 2 ^ 21) by (apply Rle_trans with (2 := C),
    le_INR; lia).
  destruct (middling_normal _ (middling_near _ _ _ H Rg ltac:(lra))) as [L _].
  assert (Cn : constant (map Times cs) <> 0) by (intros Z; rewrite Z, Rabs_R0 in Rg; lra).
  assert (V := near_inverse _ _ _ Cn H ltac:(lra)). rewrite <- E1 in V. exists y. rewrite E2.
  split; [reflexivity|]. split; [exact L|]. split; [|split].
  - apply near_more with (2 := V). lia.
  - intros Z. split; [lia|]. apply near_more with (2 := V). lia.
  - intros Z. destruct P as [-> P]; [lia|]. rewrite E1. now split.
Qed.

Lemma quotient_folded fs cs a d v : cs <> [] -> inside (map Over cs ++ fs) -> folded fs a ->
  folded (map Times cs) d ->
  divides_by d a v -> folded (map Over cs ++ fs) v.
Proof.
  intros Nc In' Fa Fd M. destruct (inside_app _ _ In') as [Ic If].
  destruct (folded_finite _ _ Fa) as (x & Ex).
  destruct (divisor_folded cs d Nc Ic Fd) as (y & Ey & Ly & Hy & Hy' & Py).
  destruct (M y x Ey Ex Ly) as (x' & Rx & Rn & S).
  assert (Q : forall z, z / y = / y * z) by (intros; unfold Rdiv; ring).
  rewrite !Q in *. split.
  - intros I. apply rounds_0. replace 0 with (/ y * x'); [exact Rn|]. apply in_app_or in I.
    destruct I as [I|I].
    + apply in_map_iff in I. now destruct I as (c & E & _).
    + rewrite (proj1 Fa I) in Ex. injection Ex as <-. rewrite (reads_0 _ Rx). ring.
  - intros N. assert (Nf : ~ In (Times 0) fs) by (intros K; apply N, in_or_app; tauto).
    destruct (proj2 Fa Nf) as (r1 & E1 & H1 & P1). rewrite Ex in E1. injection E1 as <-.
    assert (C1 := inside_cost _ If). assert (C2 := inside_cost _ Ic).
    assert (K1 : INR (pred (cost fs)) <= 2 ^ 21) by (apply Rle_trans with (2 := C1), le_INR; lia).
    assert (K2 : INR (pred (cost (map Over cs))) <= 2 ^ 21) by (apply Rle_trans with (2 := C2),
      le_INR; lia).
    destruct (middling_normal _ (middling_near _ _ _ H1 (inside_range _ If Nf) ltac:(lra))) as [L1
      _].
    rewrite (normal_reads _ _ L1 Rx) in *.
    assert (T := near_product _ _ _ _ _ _ Hy H1). rewrite <- constant_app in T.
    assert (Kt : INR (pred (cost (map Over cs)) + pred (cost fs)) <= 2 ^ 22) by (rewrite plus_INR;
      lra).
    destruct (middling_normal _ (middling_near _ _ _ T (inside_range _ In' N) Kt)) as [T1 T2].
    rewrite cost_app.
    destruct (cost (map Over cs)) as [|j] eqn:Cc.
    { destruct (Py eq_refl) as [Y1 Y2]. exists (/ y * x).
      assert (V := normal_shifts _ _ (S Y2) (conj (Rlt_le _ _ T1) T2)).
      split; [exact V|]. split; [exact T|]. intros Z. destruct (P1 Z) as [-> P2].
      split; [now rewrite constant_app, Y1|apply power_product;
        [now apply power_inverse|exact P2]]. }
    destruct (normal_rounds _ _ Rn (conj (Rlt_le _ _ T1) T2)) as (r & Er & Br). exists r.
    split; [exact Er|]. split; [|discriminate].
    destruct (Hy' ltac:(discriminate)) as [J2 Hy2].
    assert (T' := near_product _ _ _ _ _ _ Hy2 H1). rewrite <- constant_app in T'.
    apply near_more with (2 := near_round _ _ _ _ T' Br). simpl. lia.
Qed.

Lemma folds_some fs v : folds fs v -> fs <> [].
Proof.
  induction 1 as [c|fs gs a b v H1 I1 H2 I2 _ _|fs cs a d v H1 I1 H2 I2 _|cs d v H I _
    |fs gs v P H I].
  - discriminate.
  - destruct fs; [contradiction|discriminate].
  - destruct cs; [now elim I2|discriminate].
  - destruct cs; [now elim I|discriminate].
  - intros ->. apply I. now apply Permutation_nil, Permutation_sym.
Qed.

Lemma folded_perm fs gs v : Permutation fs gs -> folded fs v -> folded gs v.
Proof.
  intros P [H1 H2]. destruct (factors_perm _ _ P) as (C & K & _ & _). unfold folded.
  rewrite <- C, <- K. split.
  - intros I. apply H1. now apply Permutation_in with (1 := Permutation_sym P).
  - intros I. apply H2. intros J. apply I. now apply Permutation_in with (1 := P).
Qed.

Lemma one_folded : folded [] (Finite 1).
Proof.
  split; [easy|]. intros _. exists 1. split; [reflexivity|]. split; [apply near_itself|]. intros _.
  split; [reflexivity|exact power_1].
Qed.

(* map: constants multiplied beforehand are finite, with no more roundings than charged *)
Theorem folds_near fs v : folds fs v -> tame fs -> folded fs v.
Proof.
  induction 1 as [c|fs gs a b v H1 I1 H2 I2 M1 M2|fs cs a d v H1 I1 H2 I2 M|cs d v H I M
    |fs gs v P H I]; intros T.
  - unfold folded. replace (constant [Times c]) with c by (unfold constant; simpl; ring). split.
    + intros [E|[]]. now injection E as ->.
    + intros _. exists c. split; [reflexivity|]. replace (pred (cost [Times c])) with 0%nat.
      2: { unfold cost. simpl. destruct (scales c); reflexivity. }
      split; [apply near_itself|]. intros Z. split; [reflexivity|].
      apply scales_power, (cost_in c [Times c]); [now left|exact Z].
  - destruct (tame_app _ _ T) as [Tf Tg]. apply product_folded with a b; auto.
    apply tame_inside; [now apply folds_some with a|now apply folds_some with b|exact T].
  - assert (Nc : cs <> []) by (intros ->; now apply folds_some in H2).
    destruct (tame_app _ _ T) as [Tc Tf].
    assert (In' : inside (map Over cs ++ fs)).
    { apply tame_inside; [destruct cs; [contradiction|discriminate]|now apply folds_some with a
        |exact T]. }
    apply quotient_folded with a d; auto. apply I2. right. right. apply inside_times.
    now apply inside_app in In'.
  - assert (Nc : cs <> []) by (intros ->; now apply folds_some in H).
    assert (Ic := tame_over cs Nc T).
    rewrite <- (app_nil_r (map Over cs)) in Ic |- *.
    apply quotient_folded with (Finite 1) d; auto using one_folded.
    apply I. right. right. apply inside_times. now rewrite app_nil_r in Ic.
  - apply (folded_perm fs gs v P), I. now apply tame_perm with (1 := Permutation_sym P).
Qed.

(** A divisor that was folded: its reciprocal, one rounding less than the cost of dividing by it. *)
Theorem folds_over cs d gs : folds (map Times cs) d -> tame (map Over cs ++ gs) ->
  exists y, d = Finite y /\ eta < Rabs y /\
    near (pred (cost (map Over cs))) (constant (map Over cs)) (/ y) /\
    (cost (map Over cs) = 0%nat -> / y = constant (map Over cs) /\ power_of_two y).
Proof.
  intros H T. assert (Nc : cs <> []) by (intros ->; now apply folds_some in H).
  assert (Ic := tame_over cs Nc (proj1 (tame_app _ _ T))).
  destruct (divisor_folded cs d Nc Ic) as (y & E & L & N & _ & P).
  - apply folds_near; [exact H|]. right. right. now apply inside_times.
  - exists y. auto.
Qed.
